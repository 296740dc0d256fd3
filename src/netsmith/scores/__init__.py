"""How much a unit matters. A score is a plain function ``(axis, weights) -> (axis.size,)``, higher = keep.

Scores are compared within one axis. Some ask for evidence by a keyword argument: bind it with ``functools.partial``, or
let ``with_evidence`` gather it.
"""

from collections.abc import Callable

import torch

from ..evidence import Weights
from ..wiring import Axis
from .activation_variance import activation_variance
from .fisher import fisher
from .gathering import with_evidence
from .magnitude import magnitude
from .norm_scale import norm_scale
from .random import random
from .reconstruction import reconstruction
from .redundancy import redundancy
from .taylor import taylor
from .wanda import wanda

Score = Callable[[Axis, Weights], torch.Tensor]

__all__ = [
    "Score",
    "Weights",
    "activation_variance",
    "fisher",
    "magnitude",
    "norm_scale",
    "random",
    "reconstruction",
    "redundancy",
    "taylor",
    "wanda",
    "with_evidence",
]
