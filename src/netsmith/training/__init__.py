"""Training that can be interrupted: fine-tuning, distillation, regularization; one loop on Accelerate."""

from . import losses, penalties
from .distil import distil
from .finetune import finetune
from .gates import l0_gates
from .keeping import clip, keep_zeros
from .options import Training
from .regularize import regularize
from .train import train

__all__ = [
    "Training",
    "clip",
    "distil",
    "finetune",
    "keep_zeros",
    "l0_gates",
    "losses",
    "penalties",
    "regularize",
    "train",
]
