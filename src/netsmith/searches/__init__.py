"""Tries many widths and depths: error curves of axes, budgets divided by them, blocks to cut or merge."""

from .allocation import allocate, plan_allocation
from .curves import Curve, Curves
from .cutting import plan_cut
from .measure import measure_curves
from .merging import plan_merge
from .space import Space, find_menus

__all__ = [
    "Curve",
    "Curves",
    "Space",
    "allocate",
    "find_menus",
    "measure_curves",
    "plan_allocation",
    "plan_cut",
    "plan_merge",
]
