"""Many models: their weights merged into one, or ensembles that are one module."""

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
    from .ensembles import blend as blend
    from .ensembles import boost as boost
    from .ensembles import cascade as cascade
    from .ensembles import evaluate as evaluate
    from .ensembles import mixture as mixture
    from .ensembles import parallel as parallel
    from .ensembles import select as select
    from .ensembles import stack as stack
    from .ensembles import tree_ensemble as tree_ensemble
    from .fisher_merging import fisher as fisher
    from .fisher_merging import fisher_importance as fisher_importance
    from .joining import Joined as Joined
    from .joining import join as join
    from .least_squares import regmean as regmean
    from .least_squares import regmean_plus as regmean_plus
    from .merging_modules import merge_models as merge_models
    from .repairing import repair as repair
    from .soups import Soup as Soup
    from .soups import greedy_soup as greedy_soup
    from .soups import uniform_soup as uniform_soup
    from .zipping import Zipped as Zipped
    from .zipping import zip_models as zip_models

# Imported on first use: merging checkpoints needs no wiring, and half its memory would be that of these imports.
_LATER = {
    "Aligned": "alignment",
    "Barrier": "barriers",
    "Joined": "joining",
    "Soup": "soups",
    "Zipped": "zipping",
    "align": "alignment",
    "barrier": "barriers",
    "fisher": "fisher_merging",
    "fisher_importance": "fisher_merging",
    "greedy_soup": "soups",
    "join": "joining",
    "merge_models": "merging_modules",
    "regmean": "least_squares",
    "regmean_plus": "least_squares",
    "repair": "repairing",
    "uniform_soup": "soups",
    "zip_models": "zipping",
    "blend": "ensembles",
    "boost": "ensembles",
    "cascade": "ensembles",
    "evaluate": "ensembles",
    "mixture": "ensembles",
    "parallel": "ensembles",
    "select": "ensembles",
    "stack": "ensembles",
    "tree_ensemble": "ensembles",
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
