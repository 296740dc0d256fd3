"""What to do: edits, plans, budgets, and the functions that make plans."""

from .budget import Budget
from .depth import plan_blocks
from .edits import BlockEdit, Edit, RemoveBlock, RemoveBranch, ReplaceBlock, ResizeAxis
from .plan import Plan
from .removal import plan_removal

__all__ = [
    "BlockEdit",
    "Budget",
    "Edit",
    "Plan",
    "RemoveBlock",
    "RemoveBranch",
    "ReplaceBlock",
    "ResizeAxis",
    "plan_blocks",
    "plan_removal",
]
