"""Network slimming: the scales of normalizations are driven to zero."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ...errors import ModelError
from ...scores.norm_scale import scale_parameters
from ...wiring import Wiring
from ..loop import Penalty
from .norms import check_strength
from .units import regularized_axes


def slimming(wiring: Wiring, strength: float, *, ignore: Iterable[str] = ()) -> Penalty:
    """strength · Σ |γ| over the scales of the normalizations on axes that can change.

    Afterwards ``plans.plan_threshold(wiring, score=partial(norm_scale, wiring=wiring), threshold=...)`` removes the
    units with the smallest scales. A scale of zero leaves the normalization's shift: repair or calibrate after it.

    Args:
        wiring: of the network that will be trained.
        strength: ≥ 0; the paper takes 1e-5 to 1e-4.
        ignore: name patterns, as in ``plan_removal``.

    Raises:
        ModelError: no normalization on such an axis.

    Source: Liu et al., ICCV 2017, arXiv:1708.06519.
    """
    check_strength(strength)
    scales = scale_parameters(wiring)
    names = sorted(
        {
            member.tensor
            for axis in regularized_axes(wiring, ignore)
            for member in axis.members
            if member.trainable and member.role == "pointwise" and member.tensor in scales
        }
    )
    if not names:
        raise ModelError("no axis that can change has a normalization with a scale; regularize with group_lasso")

    def penalty(model: nn.Module, step: int) -> Tensor:
        parameters = dict(model.named_parameters())
        return strength * torch.stack([parameters[name].float().abs().sum() for name in names]).sum()

    return penalty
