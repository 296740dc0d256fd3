"""The command line: one file a command. Nothing here imports torch before a command runs, so ``--help`` is quick."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import app as app

__all__ = ["app", "main"]


def main() -> None:
    """The console script ``netsmith``. Imports come inside: Ctrl-C during them ends it as it does later."""
    try:
        __getattr__("app")
        from .app import main as run

        run()
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .app import app

    globals()["app"] = app  # in place of the module of that name, which the import has put here
    return app
