"""What to do: edits, plans, budgets, and the functions that make plans."""

from .budget import Budget
from .depth import plan_blocks
from .edits import BlockEdit, Edit, RemoveBlock, ReplaceBlock, ResizeAxis, SetPrecision
from .plan import Plan
from .precision import plan_precision
from .removal import plan_removal

__all__ = [
    "BlockEdit",
    "Budget",
    "Edit",
    "Plan",
    "RemoveBlock",
    "ReplaceBlock",
    "ResizeAxis",
    "SetPrecision",
    "plan_blocks",
    "plan_precision",
    "plan_removal",
]
