"""A batch normalization behind a fitted layer: the same function in terms of what it now sees."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from .refits import Refit


@torch.no_grad()
def restate(slots: Mapping[str, torch.Tensor], refit: Refit, mean: torch.Tensor, variance: torch.Tensor) -> None:
    """Write the true statistics of its input, in place, and change gain and bias so that the function stays.

    Recalibration or training later then starts from the same function.

    Args:
        slots: of the edited model.
        refit: the layer in front of the normalization.
        mean, variance: (channels,) of the layer's raw output.
    """
    gain, bias, old_mean, old_variance = (slots[name] for name in refit.norm)
    factor = gain.double() / (old_variance.double() + refit.epsilon).sqrt()
    variance = variance.double().clamp_min(1e-10)
    bias.copy_((bias.double() + factor * (mean.double() - old_mean.double())).to(bias))
    gain.copy_((factor * (variance + refit.epsilon).sqrt()).to(gain))
    old_mean.copy_(mean.to(old_mean))
    old_variance.copy_(variance.to(old_variance))
