"""Brings an edited network back: closed-form repair, recalibration, training."""

from .compensate import compensate
from .distil import distil
from .finetune import finetune
from .recalibrate import recalibrate
from .refine import refine
from .rejoin import rejoin
from .repaired import Repaired
from .rounding import round_weights
from .sparsify import sparsify

__all__ = [
    "Repaired",
    "compensate",
    "distil",
    "finetune",
    "recalibrate",
    "refine",
    "rejoin",
    "round_weights",
    "sparsify",
]
