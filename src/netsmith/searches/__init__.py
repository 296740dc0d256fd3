"""Tries many widths and keeps the best: error curves of axes, and budgets divided by them."""

from .allocation import allocate, plan_allocation
from .curves import Curve, Curves
from .measure import measure_curves

__all__ = ["Curve", "Curves", "allocate", "measure_curves", "plan_allocation"]
