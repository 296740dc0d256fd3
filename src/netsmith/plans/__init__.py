"""What to do: edits, plans, budgets, and the functions that make plans."""

from .budget import Budget
from .depth import plan_blocks
from .edits import (
    BlockEdit,
    Edit,
    FuseLayers,
    InsertBlock,
    MergeBlocks,
    RemoveBlock,
    RemoveBranch,
    ReplaceBlock,
    ResizeAxis,
    WidenAxis,
)
from .fusing import plan_fusion
from .growth import plan_growth
from .plan import Plan
from .removal import plan_removal

__all__ = [
    "BlockEdit",
    "Budget",
    "Edit",
    "FuseLayers",
    "InsertBlock",
    "MergeBlocks",
    "Plan",
    "RemoveBlock",
    "RemoveBranch",
    "ReplaceBlock",
    "ResizeAxis",
    "WidenAxis",
    "plan_blocks",
    "plan_fusion",
    "plan_growth",
    "plan_removal",
]
