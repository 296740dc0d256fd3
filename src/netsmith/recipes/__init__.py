"""Whole jobs, made of the other rooms."""

from .cut import cut
from .grow import grow
from .merge import merge
from .quantize import quantize
from .result import Result, Step
from .search import search
from .shrink import shrink
from .sparsify import sparsify
from .study import Study

__all__ = [
    "Result",
    "Step",
    "Study",
    "cut",
    "grow",
    "merge",
    "quantize",
    "search",
    "shrink",
    "sparsify",
]
