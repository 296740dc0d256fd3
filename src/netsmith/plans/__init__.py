"""What to do: edits, plans, budgets, and the functions that make plans."""

from .budget import Budget
from .edits import Edit, ResizeAxis
from .plan import Plan
from .removal import plan_removal

__all__ = ["Budget", "Edit", "Plan", "ResizeAxis", "plan_removal"]
