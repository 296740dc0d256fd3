"""Brings an edited network back: closed-form repair and recalibration."""

from .compensate import compensate
from .recalibrate import recalibrate
from .refine import refine
from .rejoin import rejoin
from .repaired import Repaired

__all__ = ["Repaired", "compensate", "recalibrate", "refine", "rejoin"]
