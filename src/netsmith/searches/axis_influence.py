"""How much a model's predictions lean on each of its axes, from one pass of gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..evidence import Weights, device_of, examples_in, gradients
from ..evidence.batches import labelled_batches
from ..evidence.gradients import Loss
from ..scores import taylor
from ..wiring import Wiring

Progress = Callable[[int, int, str], None]


def axis_influence(
    wiring: Wiring,
    data: Iterable[Any],
    loss: Loss | None = None,
    *,
    most_examples: int = 256,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, float]:
    """What it would cost to remove the lesser half of each axis' units, to second order and without repair.

    influence = ½ n Σ over the ⌊size/2⌋ units u that score lowest of (mean over batches of (Σ w·∂L/∂w)²), with the inner
    sum over the weights tied to u and n examples a batch: ½ wᵀFw with the Fisher matrix F within each unit, nothing
    between units. One backward pass a batch serves all axes, however many there are.

    Args:
        wiring: of the model.
        data: batches, each ``x`` or ``(x, y)``; only a loss needs labels.
        loss, most_examples, seed, progress: as in ``evidence.gradients``.

    Returns:
        axis that may change -> influence, ≥ 0, in units of the loss (nats for class scores).

    Raises:
        InputError, EvidenceError: as ``evidence.gradients``.

    Source: the score is ``scores.taylor``, Molchanov et al., CVPR 2019, arXiv:1906.10771.
    """
    batches = list(labelled_batches(data, most_examples=most_examples, device=device_of(wiring.model)))
    size = sum(examples_in(inputs) for inputs, _ in batches) / len(batches)
    found = gradients(wiring, batches, loss, most_examples=most_examples, seed=seed, progress=progress)
    weights = Weights(wiring.tensors)
    result = {}
    for axis in wiring.free_axes:
        if axis.size > 1 and any(member.trainable for member in axis.members):
            scores = taylor(axis, weights, gradients=found)
            result[axis.name] = size / 2 * float(scores.sort().values[: axis.size // 2].sum())
    return result
