"""Brings an edited network back: closed-form repair and recalibration."""

from .carry import carry_optimizer
from .compensate import compensate
from .recalibrate import recalibrate
from .refine import refine
from .rejoin import rejoin
from .repaired import Repaired
from .rounding import round_weights
from .sparsify import sparsify

__all__ = [
    "Repaired",
    "carry_optimizer",
    "compensate",
    "recalibrate",
    "refine",
    "rejoin",
    "round_weights",
    "sparsify",
]
