"""What to do: edits, plans, budgets, and the functions that make plans."""

from .budget import Budget
from .dead import plan_dead
from .depth import plan_blocks
from .edits import BlockEdit, Edit, RemoveBlock, ReplaceBlock, ResizeAxis, SetPrecision, Sparsify
from .plan import Plan
from .precision import plan_precision
from .removal import plan_removal
from .sparsity import plan_sparsity

__all__ = [
    "BlockEdit",
    "Budget",
    "Edit",
    "Plan",
    "RemoveBlock",
    "ReplaceBlock",
    "ResizeAxis",
    "SetPrecision",
    "Sparsify",
    "plan_blocks",
    "plan_dead",
    "plan_precision",
    "plan_removal",
    "plan_sparsity",
]
