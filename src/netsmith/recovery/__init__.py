"""Brings an edited network back: closed-form repair, recalibration, training."""

from .compensate import Repaired, compensate
from .distil import distil
from .finetune import finetune

__all__ = ["Repaired", "compensate", "distil", "finetune"]
