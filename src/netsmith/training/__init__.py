"""Training that can be interrupted: fine-tuning, distillation, regularization; one loop on Accelerate."""

from . import losses
from .distil import distil
from .finetune import finetune
from .keeping import clip, keep_zeros
from .options import Training
from .train import train

__all__ = ["Training", "clip", "distil", "finetune", "keep_zeros", "losses", "train"]
