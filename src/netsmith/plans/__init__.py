"""What to do: edits, plans, budgets, and the functions that make plans."""

from .budget import Budget
from .depth import plan_blocks
from .edits import BlockEdit, Edit, InsertBlock, RemoveBlock, ReplaceBlock, ResizeAxis, WidenAxis
from .growth import plan_growth
from .plan import Plan
from .removal import plan_removal

__all__ = [
    "BlockEdit",
    "Budget",
    "Edit",
    "InsertBlock",
    "Plan",
    "RemoveBlock",
    "ReplaceBlock",
    "ResizeAxis",
    "WidenAxis",
    "plan_blocks",
    "plan_growth",
    "plan_removal",
]
