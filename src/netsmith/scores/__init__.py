"""How much a unit matters. A score is a plain function ``(axis, weights) -> (axis.size,)``, higher = keep."""

from collections.abc import Callable

import torch

from ..wiring import Axis
from .magnitude import magnitude
from .weights import Weights

Score = Callable[[Axis, Weights], torch.Tensor]

__all__ = ["Score", "Weights", "magnitude"]
