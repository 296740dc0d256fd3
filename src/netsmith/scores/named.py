"""Our own scores by name, for the command line and for ``shrink(..., score="taylor")``."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..errors import UnknownNameError
from .activation_variance import activation_variance
from .fisher import fisher
from .magnitude import magnitude
from .norm_scale import norm_scale
from .random import random
from .reconstruction import reconstruction
from .redundancy import redundancy
from .taylor import taylor
from .wanda import wanda

OURS: dict[str, Callable[..., torch.Tensor]] = {
    score.__name__: score
    for score in (
        activation_variance,
        fisher,
        magnitude,
        norm_scale,
        random,
        reconstruction,
        redundancy,
        taylor,
        wanda,
    )
}


def score_named(name: str) -> Callable[..., torch.Tensor]:
    """Our score of that name.

    Raises:
        UnknownNameError: there is none; the message lists all.
    """
    if name not in OURS:
        raise UnknownNameError(
            f"there is no score {name!r}; there are {', '.join(OURS)}; or give a function of your own (on the command "
            "line package.module:function)"
        )
    return OURS[name]
