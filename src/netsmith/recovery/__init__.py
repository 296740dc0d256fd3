"""Brings an edited network back: closed-form repair, recalibration, training."""

from .compensate import compensate
from .distil import distil
from .finetune import finetune
from .fold_choice import choose_folds
from .folding import fold
from .recalibrate import recalibrate
from .refine import refine
from .rejoin import rejoin
from .repaired import Repaired

__all__ = ["Repaired", "choose_folds", "compensate", "distil", "finetune", "fold", "recalibrate", "refine", "rejoin"]
