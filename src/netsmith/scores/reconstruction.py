"""What the layers that read a unit lose without it, once they are fitted again."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch

from ..errors import InputError
from ..evidence import Activations, Weights
from ..wiring import Axis
from .consumers import Consumer, consumers_of, nothing_gathered
from .elimination import Reader, eliminated, losses_alone, rising
from .magnitude import magnitude

_MOST_WORK = 2e10  # units times inputs², over the layers that read one axis: about a minute


@torch.no_grad()
def reconstruction(
    axis: Axis,
    weights: Weights,
    *,
    activations: Activations,
    strength: float = 3e-3,
    otherwise: Callable[[Axis, Weights], torch.Tensor] | None = magnitude,
) -> torch.Tensor:
    """Error of the readers' outputs without a unit, after the least-squares refit that makes up for it best.

    Units go one after the other, always the one that adds least, and

    score(u) = Σ over the layers that read the axis of min over W' of E‖Wx − W'x'‖² / E‖Wx‖²

    where x' is x without u and all units that went before it. A constant that the layer can add is fitted too. For axes
    so wide that this takes too long (about 2,700 units that one linear layer reads) it is the error without each unit
    alone.

    Args:
        axis: the axis to score.
        weights: current weights.
        activations: of the model, with Gram matrices; see ``netsmith.evidence.activations``.
        strength: ridge penalty, as a share of the mean input variance, > 0.
        otherwise: the score of an axis that no layer with a Gram matrix reads; see ``activation_variance``.

    Returns:
        (axis.size,) float32, higher = keep. Shares of the outputs' power, summed over layers.

    Raises:
        InputError: strength is not > 0.
        EvidenceError: activations of another model; or nothing reads the axis, and ``otherwise`` is None.

    Source: Hassibi & Stork, NeurIPS 1993 (optimal brain surgeon), on layer inputs as in Frantar & Alistarh, NeurIPS
    2022, arXiv:2208.11580.
    """
    if not isinstance(strength, (int, float)) or not 0 < strength < float("inf"):
        raise InputError(f"strength={strength!r} must be a number > 0, e.g. 3e-3")
    found = [c for c in consumers_of(axis, weights, activations) if c.inputs.gram is not None]
    if not found:
        if otherwise is None:
            raise nothing_gathered(axis, "a Gram matrix of its inputs")
        return otherwise(axis, weights)
    readers = [_reader(consumer, strength) for consumer in found]
    if sum(axis.size * r.inverse[0].numel() * len(r.inverse) for r in readers) > _MOST_WORK:
        return torch.stack([losses_alone(r.inverse, r.weight, r.columns) for r in readers]).sum(0).float()
    gone, added = eliminated(readers, axis.size, axis.pinned)
    return rising(gone, list(itertools.accumulate(added)), axis.size).to(found[0].weight.device)


def _reader(consumer: Consumer, strength: float) -> Reader:
    covariance = consumer.inputs.covariance()
    assert covariance is not None
    weight = consumer.felt()
    power = float((weight * (covariance @ weight)).sum()) or 1.0
    penalty = (strength * covariance.diagonal(dim1=1, dim2=2).mean(1) + 1e-10).reshape(-1, 1, 1)
    eye = torch.eye(covariance.shape[1], dtype=covariance.dtype, device=covariance.device)
    return Reader(torch.linalg.inv(covariance + penalty * eye), weight / power**0.5, consumer.columns)
