"""netsmith changes the structure of trained networks and proves that they still work.

The front door. Names are imported on first use, so that ``import netsmith`` and the command line's ``--help`` do not
wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import scores as scores
    from .checks import Verdict as Verdict
    from .checks import verify as verify
    from .costs import Cost as Cost
    from .costs import measure as measure
    from .errors import NetsmithError as NetsmithError
    from .files import load as load
    from .files import save as save
    from .plans import Budget as Budget
    from .plans import Plan as Plan
    from .plans import plan_removal as plan_removal
    from .recipes import Result as Result
    from .recipes import Study as Study
    from .recipes.cut import cut as cut
    from .recipes.search import search as search
    from .recipes.shrink import shrink as shrink
    from .searches import plan_cut as plan_cut
    from .surgery import apply as apply
    from .wiring import Wiring as Wiring
    from .wiring import trace as trace

_ROOM_OF = {
    "Budget": "plans",
    "Cost": "costs",
    "NetsmithError": "errors",
    "Plan": "plans",
    "Result": "recipes",
    "Study": "recipes",
    "Verdict": "checks",
    "Wiring": "wiring",
    "apply": "surgery",
    "cut": "recipes",
    "load": "files",
    "measure": "costs",
    "plan_cut": "searches",
    "plan_removal": "plans",
    "save": "files",
    "search": "recipes",
    "shrink": "recipes",
    "trace": "wiring",
    "verify": "checks",
}

__all__ = [*_ROOM_OF, "scores"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "scores":
        return import_module(".scores", __name__)
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'netsmith' has no attribute {name!r}")
    value = getattr(import_module(f".{_ROOM_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
