"""The layers that read an axis, with what is known of their inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import EvidenceError
from ..evidence import Activations, LayerInputs, Weights
from ..evidence.patches import weight_matrix
from ..wiring import Axis


@dataclass(frozen=True)
class Consumer:
    """A linear layer or convolution whose weight contracts the axis.

    Attributes:
        inputs: moments of what it reads.
        weight: (groups, inputs, outputs).
        columns: (units, columns of each unit): which inputs belong to a unit, in the same order for all.
    """

    inputs: LayerInputs
    weight: torch.Tensor
    columns: torch.Tensor

    def felt(self) -> torch.Tensor:
        """(groups, inputs, outputs) float64: the weight, as the normalization behind lets its outputs through."""
        return self.weight.double() * self.inputs.gain.double().unsqueeze(1)


def consumers_of(axis: Axis, weights: Weights, activations: Activations) -> list[Consumer]:
    """The layers that contract an axis and whose inputs were gathered; others (attention, recurrence) are not there.

    Raises:
        EvidenceError: activations is something else, or of a model of another shape.
    """
    if not isinstance(activations, Activations):
        raise EvidenceError(
            f"activations is a {type(activations).__name__}; give netsmith.evidence.activations(wiring, data)"
        )
    found = []
    for member in axis.members:
        inputs = activations.layers.get(member.tensor)
        if inputs is None or member.dim != inputs.contracted:
            continue
        positions = member.positions
        if len({len(p) for p in positions}) > 1:
            continue  # a unit that takes up more room than another
        tensor = weights.tensors[member.tensor].detach()
        groups, wide = inputs.mean.shape
        elements = tensor.numel() // (inputs.gain.numel() * tensor.shape[member.dim])
        if elements * tensor.shape[member.dim] != wide:
            raise EvidenceError(
                f"activations of {member.tensor} have {wide} inputs, the weight has "
                f"{elements * tensor.shape[member.dim]}: they are of another model"
            )
        at = torch.tensor(positions, device=inputs.mean.device)
        columns = at[:, :, None] * elements + torch.arange(elements, device=at.device)
        weight = weight_matrix(tensor, inputs.name, groups).to(inputs.mean.device)
        found.append(Consumer(inputs, weight, columns.flatten(1)))
    return found


def nothing_gathered(axis: Axis, what: str) -> EvidenceError:
    """The error for an axis that no gathered layer reads."""
    return EvidenceError(
        f"no layer that reads axis {axis.name!r} has {what}; ignore the axis, or take another score (in Python, for "
        "such axes: otherwise=scores.magnitude)"
    )
