"""Many models into one."""

from .averaging import average
from .breadcrumbs import breadcrumbs
from .dare import dare
from .della import della
from .merge_checkpoints import Merged, merge_checkpoints
from .merge_models import merge_models
from .merge_recipe import MergeRecipe, read_recipe
from .model_stock import model_stock
from .slerp import slerp
from .task_vectors import task_arithmetic
from .ties import ties

__all__ = [
    "MergeRecipe",
    "Merged",
    "average",
    "breadcrumbs",
    "dare",
    "della",
    "merge_checkpoints",
    "merge_models",
    "model_stock",
    "read_recipe",
    "slerp",
    "task_arithmetic",
    "ties",
]
