"""Whole jobs, made of the other rooms."""

from .cut import cut
from .merge import merge
from .result import Result, Step
from .shrink import shrink

__all__ = ["Result", "Step", "cut", "merge", "shrink"]
