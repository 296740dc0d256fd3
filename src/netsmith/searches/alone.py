"""Repair of a single removal in closed form.

When one axis alone gets narrower, the layers that read it see what they always saw, less some inputs. So their
least-squares refit needs nothing but the second moments of the original's inputs, once for all widths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from ..evidence import Moments, ridge
from ..evidence.patches import CONVOLUTIONS, matrix_weight, weight_matrix
from ..plans import Plan
from ..recovery.refits import Refit
from ..scores.elimination import Reader
from ..wiring import Member, Wiring, tensor_slots


def contracted_dim(refit: Refit) -> int:
    """The dimension of the layer's weight that meets its input."""
    return 0 if refit.name == "addmm" else 1


@torch.no_grad()
def reader(wiring: Wiring, refit: Refit, moments: Moments, member: Member, strength: float) -> Reader:
    """What elimination needs of a layer that reads an axis; ``member`` is where in its weight the axis lies."""
    slots = wiring.tensors
    groups, inputs = moments.x.shape
    weight = weight_matrix(slots[refit.weight].detach(), refit.name, groups).double()
    weight = weight * gains(refit, slots, groups)  # errors count as the normalization lets them through
    covariance = (moments.centred() if refit.bias or refit.norm else moments.plain())[0]
    penalty = strength * covariance.diagonal(dim1=1, dim2=2).mean(1) + 1e-10
    eye = torch.eye(inputs, dtype=covariance.dtype, device=covariance.device)
    inverse = torch.linalg.inv(covariance + penalty.reshape(-1, 1, 1) * eye)
    positions = torch.tensor(member.positions, device=covariance.device)
    elements = inputs // slots[refit.weight].shape[contracted_dim(refit)]
    columns = positions[:, :, None] * elements + torch.arange(elements, device=positions.device)
    return Reader(inverse, weight, columns.flatten(1))


@dataclass(frozen=True)
class Refitted:
    """A layer that reads what was removed, fitted again.

    Attributes:
        refit: the layer.
        weight: (groups, inputs left, outputs).
        constant: (outputs,), what is added to the layer's output, where that is possible.
        error: mean squared error, summed over outputs as the normalization behind lets them through.
    """

    refit: Refit
    weight: torch.Tensor
    constant: torch.Tensor
    error: float


@torch.no_grad()
def refitted_alone(
    plan: Plan,
    refits: Mapping[str, tuple[Refit, Moments]],
    originals: Mapping[str, torch.Tensor],
    strength: float,
) -> list[Refitted]:
    """Fit the layers that read what was removed.

    Args:
        plan: what was removed.
        refits: weight -> its layer and the moments of the layer's input in the original model.
        originals: weight -> its values before the edit.
        strength: of the ridge, as a share of the mean input variance.
    """
    found = []
    for name, (refit, moments) in refits.items():
        kept = plan.kept(name) if name in plan.layouts else {}
        dim = contracted_dim(refit)
        if dim not in kept:
            continue
        groups, inputs = moments.x.shape
        positions = torch.tensor(kept[dim], device=moments.x.device)
        elements = inputs // originals[name].shape[dim]  # of the kernel
        columns = (positions[:, None] * elements + torch.arange(elements, device=positions.device)).flatten()
        full = weight_matrix(originals[name].detach(), refit.name, groups).double()
        free = bool(refit.bias or refit.norm)  # a constant can be added
        covariance = moments.centred()[0] if free else moments.plain()[0]
        part = covariance[:, columns]
        new = ridge(part[:, :, columns], part @ full, full[:, columns], strength)
        mean = (moments.x / moments.rows).unsqueeze(2)
        constant = ((mean * full).sum(1) - (mean[:, columns] * new).sum(1)).reshape(-1)
        away = full.index_add(1, columns, new, alpha=-1)
        errors = (away * (covariance @ away)).sum(1) * gains(refit, originals, groups).squeeze(1).square()
        found.append(Refitted(refit, new, constant, float(errors.sum())))
    return found


def gains(refit: Refit, originals: Mapping[str, torch.Tensor], groups: int) -> torch.Tensor:
    """(groups, 1, outputs): what the normalization behind the layer multiplies its outputs with."""
    if not refit.norm:
        return torch.ones((), dtype=torch.float64, device=originals[refit.weight].device).reshape(1, 1, 1)
    gain, variance = (originals[refit.norm[i]].detach().double() for i in (0, 3))
    return (gain / (variance + refit.epsilon).sqrt()).reshape(groups, 1, -1)


@torch.no_grad()
def write_alone(
    model: nn.Module, plan: Plan, refitted: Iterable[Refitted], originals: Mapping[str, torch.Tensor]
) -> None:
    """Write refitted layers, in place, into a freshly edited model.

    Args:
        model: the edited model.
        plan: what was removed.
        refitted: its layers, fitted.
        originals: weight -> its values before the edit.
    """
    slots = {slot.name: slot.tensor for slot in tensor_slots(model)}
    for each in refitted:
        refit, constant = each.refit, each.constant
        kept, dim, original = plan.kept(refit.weight), contracted_dim(refit), originals[refit.weight]
        outputs = 1 - dim if refit.name not in CONVOLUTIONS else 0
        shape = list(original.shape)
        shape[dim] = len(kept[dim])
        weight = matrix_weight(each.weight, original.new_empty(shape), refit.name)
        if outputs in kept:
            which = torch.tensor(kept[outputs], device=weight.device)
            weight, constant = weight.index_select(outputs, which), constant[which]
        slots[refit.weight].copy_(weight)
        if refit.bias:
            slots[refit.bias].add_(constant.to(slots[refit.bias]))
        elif refit.norm:
            slots[refit.norm[2]].sub_(constant.to(slots[refit.norm[2]]))
