"""How far a changed network's outputs are from the original's, without labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from ..wiring import call_model
from ..wiring.recorder import tensors_in
from .batches import examples_in
from .masks import counted_part


def divergence(reference: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
    """Mean KL(reference ‖ changed) in nats for class scores, relative squared error for anything else.

    Args:
        reference, changed: outputs of one shape. (..., classes) with 2 or 3 dimensions and at least 2 classes count as
            unnormalized class scores.

    Returns:
        A scalar ≥ 0.
    """
    reference, changed = reference.float(), changed.float()
    if is_class_scores(reference):
        p, q = reference.log_softmax(-1), changed.log_softmax(-1)
        return (p.exp() * (p - q)).sum(-1).mean()
    return (reference - changed).square().mean() / reference.square().mean().clamp_min(1e-12)


def is_class_scores(output: torch.Tensor) -> bool:
    """Whether an output counts as unnormalized class scores (..., classes)."""
    return output.dim() in (2, 3) and output.shape[-1] > 1


def first_output(out: Any) -> torch.Tensor:
    """The first floating-point tensor of a model's output."""
    return next(t for t in tensors_in(out) if t.is_floating_point())


def mean_divergence(model: nn.Module, batches: Sequence[Any], references: Sequence[torch.Tensor]) -> float:
    """Mean of ``divergence`` over batches; the model is run as it is, without gradients."""
    with torch.no_grad():
        each = [
            float(divergence(reference, first_output(call_model(model, inputs))))
            for inputs, reference in zip(batches, references, strict=True)
        ]
    return sum(each) / len(each)


def divergence_of_examples(
    outputs: Iterable[torch.Tensor],
    references: Sequence[torch.Tensor],
    batches: Sequence[Any],
    counted: Sequence[torch.Tensor | None],
) -> float:
    """Mean of ``divergence`` over examples, of the positions that count.

    Args:
        outputs: of the changed network, one batch after the other; can be made while it is gone through.
        references: of the original.
        batches: inputs, which tell how many examples each has.
        counted: of each batch what ``mask_of`` gives.
    """
    weights = [examples_in(inputs) for inputs in batches]
    errors = [
        float(divergence(counted_part(reference, mask), counted_part(output, mask)))
        for output, reference, mask in zip(outputs, references, counted, strict=True)
    ]
    return sum(w * e for w, e in zip(weights, errors, strict=True)) / sum(weights)
