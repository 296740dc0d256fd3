"""What happens when a command fails: one message and an exit code, never half a traceback."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from ..errors import NetsmithError
from .called import ARGUMENTS, remember

FAILED = 1  # verify: the verdict is "failed"
BAD_INPUT = 2
INTERNAL = 3
INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended


class Commands(TyperGroup):
    """The commands; turns errors that are meant for users into exit codes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # a closed pipe shows here, not in the interpreter's shutdown
            return result
        except NetsmithError as error:
            if ctx.meta.get("debug"):
                raise
            complain(str(error))
            raise typer.Exit(BAD_INPUT) from error
        except SystemExit as error:  # typer's own way out is another exception
            if ctx.meta.get("debug"):
                raise
            complain(f"code that this command had to run called sys.exit({error.code!r}); let it raise or return")
            raise typer.Exit(BAD_INPUT) from error
        except KeyboardInterrupt as error:
            complain("interrupted")
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:
            # The reader (head, less) has gone; whatever is still buffered goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(BROKEN_PIPE) from error


def remember_debug(ctx: typer.Context, value: bool) -> bool:
    """Option callback: contexts of one call share ``meta``."""
    remember(ctx)
    if value:
        ctx.meta["debug"] = True
    return value


def complain(message: str) -> None:
    """One message on stderr, as plain text: file names and brackets stay as they are."""
    print(f"error: {message}", file=sys.stderr)
