"""What to do: edits, plans, budgets, and the functions that make plans."""

from .budget import Budget
from .dead import plan_dead
from .depth import plan_blocks
from .edits import BlockEdit, Edit, RemoveBlock, ReplaceBlock, ResizeAxis
from .plan import Plan
from .removal import plan_removal

__all__ = [
    "BlockEdit",
    "Budget",
    "Edit",
    "Plan",
    "RemoveBlock",
    "ReplaceBlock",
    "ResizeAxis",
    "plan_blocks",
    "plan_dead",
    "plan_removal",
]
