"""Whole jobs, made of the other rooms."""

from .cut import cut
from .grow import grow
from .result import Result, Step
from .shrink import shrink

__all__ = ["Result", "Step", "cut", "grow", "shrink"]
