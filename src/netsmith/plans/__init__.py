"""What to do: edits, plans, budgets, and the functions that make plans."""

from .budget import Budget
from .dead import plan_dead
from .depth import plan_blocks
from .edits import (
    BlockEdit,
    Edit,
    FuseLayers,
    InsertBlock,
    InsertIdentity,
    MergeBlocks,
    RemoveBlock,
    RemoveBranch,
    ReplaceBlock,
    ResizeAxis,
    SetPrecision,
    Sparsify,
    WidenAxis,
)
from .fusing import plan_fusion
from .growth import plan_growth
from .plan import Plan
from .precision import plan_precision
from .removal import plan_removal
from .sparsity import plan_sparsity
from .threshold import plan_threshold

__all__ = [
    "BlockEdit",
    "Budget",
    "Edit",
    "FuseLayers",
    "InsertBlock",
    "InsertIdentity",
    "MergeBlocks",
    "Plan",
    "RemoveBlock",
    "RemoveBranch",
    "ReplaceBlock",
    "ResizeAxis",
    "SetPrecision",
    "Sparsify",
    "WidenAxis",
    "plan_blocks",
    "plan_dead",
    "plan_fusion",
    "plan_growth",
    "plan_precision",
    "plan_removal",
    "plan_sparsity",
    "plan_threshold",
]
