"""Tries many widths and depths: error curves of axes, budgets divided by them, blocks to cut or merge."""

from .allocation import allocate, plan_allocation
from .curves import Curve, Curves, Leaving
from .cutting import plan_cut
from .leaving import measure_blocks
from .measure import measure_curves
from .merging import plan_merge
from .space import Space, find_menus

__all__ = [
    "Curve",
    "Curves",
    "Leaving",
    "Space",
    "allocate",
    "find_menus",
    "measure_blocks",
    "measure_curves",
    "plan_allocation",
    "plan_cut",
    "plan_merge",
]
