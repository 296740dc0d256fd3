"""Many models into one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .averaging import average
from .breadcrumbs import breadcrumbs
from .dare import dare
from .della import della
from .merge_checkpoints import Merged, merge_checkpoints
from .merge_recipe import MergeRecipe, read_recipe
from .model_stock import model_stock
from .slerp import slerp
from .task_vectors import task_arithmetic
from .ties import ties

if TYPE_CHECKING:
    from .alignment import Aligned as Aligned
    from .alignment import align as align
    from .barriers import Barrier as Barrier
    from .barriers import barrier as barrier
    from .merging_modules import merge_models as merge_models
    from .repairing import repair as repair

# Imported on first use: merging checkpoints needs no wiring, and half its memory would be that of these imports.
_LATER = {
    "Aligned": "alignment",
    "Barrier": "barriers",
    "align": "alignment",
    "barrier": "barriers",
    "merge_models": "merging_modules",
    "repair": "repairing",
}

__all__ = [  # pyright: ignore[reportUnsupportedDunderAll]
    *_LATER,
    "MergeRecipe",
    "Merged",
    "average",
    "breadcrumbs",
    "dare",
    "della",
    "merge_checkpoints",
    "model_stock",
    "read_recipe",
    "slerp",
    "task_arithmetic",
    "ties",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'netsmith.combining' has no attribute {name!r}")
    value = getattr(import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value
