"""What to do: edits, plans, budgets, and the functions that make plans."""

from .budget import Budget
from .depth import plan_blocks
from .edits import BlockEdit, Edit, FuseLayers, MergeBlocks, RemoveBlock, ReplaceBlock, ResizeAxis
from .fusing import plan_fusion
from .plan import Plan
from .removal import plan_removal

__all__ = [
    "BlockEdit",
    "Budget",
    "Edit",
    "FuseLayers",
    "MergeBlocks",
    "Plan",
    "RemoveBlock",
    "ReplaceBlock",
    "ResizeAxis",
    "plan_blocks",
    "plan_fusion",
    "plan_removal",
]
