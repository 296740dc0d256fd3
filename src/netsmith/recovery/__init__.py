"""Brings an edited network back: closed-form repair and recalibration."""

from .carry import carry_optimizer
from .compensate import compensate
from .fold_choice import choose_folds
from .folding import fold
from .recalibrate import recalibrate
from .refine import refine
from .rejoin import rejoin
from .repair import repair
from .repaired import Repaired
from .rounding import round_weights
from .sparsify import sparsify

__all__ = [
    "Repaired",
    "carry_optimizer",
    "choose_folds",
    "compensate",
    "fold",
    "recalibrate",
    "refine",
    "rejoin",
    "repair",
    "round_weights",
    "sparsify",
]
