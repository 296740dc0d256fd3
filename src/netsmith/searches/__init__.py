"""Tries many widths and depths and keeps the best: error curves of axes, budgets divided by them, blocks to cut."""

from .allocation import allocate, plan_allocation
from .curves import Curve, Curves
from .cutting import plan_cut
from .measure import measure_curves

__all__ = ["Curve", "Curves", "allocate", "measure_curves", "plan_allocation", "plan_cut"]
