"""Whole jobs, made of the other rooms."""

from .cut import cut
from .dry_run import PlannedStep, plan_recipe
from .grow import grow
from .merge import merge
from .quantize import quantize
from .result import Result, Step
from .running import RecipeRun, run_recipe
from .search import search
from .shrink import shrink
from .sparsify import sparsify
from .study import Study
from .writing import init_recipe

__all__ = [
    "PlannedStep",
    "RecipeRun",
    "Result",
    "Step",
    "Study",
    "cut",
    "grow",
    "init_recipe",
    "merge",
    "plan_recipe",
    "quantize",
    "run_recipe",
    "search",
    "shrink",
    "sparsify",
]
