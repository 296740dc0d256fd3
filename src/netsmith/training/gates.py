"""L0: a gate for every unit that learns whether the unit is needed, and is folded into the weights at the end."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrize

from ..errors import InputError, ModelError
from ..wiring import Axis, Wiring
from .finetune import Loss, labelled
from .loop import Progress, Validate
from .options import Training, options
from .penalties.norms import check_strength
from .penalties.units import regularized_axes
from .train import train

_BETA, _LOW, _HIGH = 2 / 3, -0.1, 1.1  # temperature and stretch of the hard concrete distribution, as in the paper


def l0_gates(
    model: nn.Module,
    data: Iterable[Any],
    *,
    wiring: Wiring,
    strength: float,
    open_at_first: float = 0.9,
    ignore: Iterable[str] = (),
    loss: Loss = cross_entropy,
    validate: Validate | None = None,
    progress: Progress | None = None,
    training: Training | None = None,
    **named: Any,
) -> nn.Module:
    """Fine-tune a copy of the model with a hard-concrete gate on every unit; penalty: strength · E[open gates].

    A gate multiplies all weights tied to its unit, so a closed one leaves nothing but zeros, and
    ``plans.plan_threshold`` with threshold 0 removes the unit exactly. Units of tied or recurrent weights get no gate.

    Args:
        model: returns a tensor, or an object with ``.logits``.
        data: batches (x, y) that can be iterated once an epoch.
        wiring: of this model.
        strength: nats a unit, ≥ 0.
        open_at_first: probability that a gate is open before training, in (0, 1).
        ignore: name patterns, as in ``plan_removal``.
        loss, validate, progress, training, named: as in ``regularize``; gates learn fast with ``optimizer="adamw"``.

    Returns:
        The trained copy without gates, in eval mode.

    Raises:
        InputError: options out of range, and all that ``finetune`` raises.
        ModelError: no unit can get a gate.

    Source: Louizos, Welling & Kingma, ICLR 2018, arXiv:1712.01312.
    """
    how = options(training, named)
    check_strength(strength)
    if not 0 < open_at_first < 1:
        raise InputError(f"open_at_first is a probability in (0, 1), not {open_at_first}")
    axes = _gateable(model, regularized_axes(wiring, ignore), wiring)
    gated = _with_gates(copy.deepcopy(model), axes, open_at_first)

    def penalty(trained: nn.Module, step: int) -> Tensor:
        gates = next(module for module in trained.modules() if isinstance(module, Gates))
        open_ones = strength * gates.expected()
        gates.draw()  # for the next step
        return open_ones

    trained = train(gated, data, labelled(loss), how, validate=validate, penalty=penalty, progress=progress)
    return _folded(trained)


class Gates(nn.Module):
    """One logit a unit of every axis, and the noise of the step."""

    def __init__(self, sizes: list[int], open_at_first: float):
        super().__init__()
        # P(open) = sigmoid(logit − β·log(−low/high))
        start = math.log(open_at_first / (1 - open_at_first)) + _BETA * math.log(-_LOW / _HIGH)
        self.logits = nn.ParameterList(torch.full((size,), start) for size in sizes)
        for i, size in enumerate(sizes):
            self.register_buffer(f"noise{i}", torch.full((size,), 0.5))

    def draw(self) -> None:
        """New noise, from torch's random state."""
        for i in range(len(self.logits)):
            self.get_buffer(f"noise{i}").uniform_(1e-6, 1 - 1e-6)

    def values(self, i: int) -> Tensor:
        """(units,) in [0, 1]; without noise in eval mode."""
        logits = self.logits[i]
        if self.training:
            u = self.get_buffer(f"noise{i}")
            s = torch.sigmoid((u.log() - (1 - u).log() + logits) / _BETA)
        else:
            s = torch.sigmoid(logits)
        return (s * (_HIGH - _LOW) + _LOW).clamp(0, 1)

    def expected(self) -> Tensor:
        """Expected number of gates that are not closed."""
        shift = _BETA * math.log(-_LOW / _HIGH)
        return torch.stack([torch.sigmoid(each - shift).sum() for each in self.logits]).sum()


class Gated(nn.Module):
    """A parametrization: the tensor times the gates of the axes that lie in it."""

    def __init__(self, gates: Gates, places: list[tuple[int, int, Tensor]]):
        super().__init__()
        self.gates = gates
        self.axes = [(index, dim) for index, dim, _ in places]
        for i, (*_, units) in enumerate(places):
            self.register_buffer(f"units{i}", units, persistent=False)

    def forward(self, tensor: Tensor) -> Tensor:
        for i, (index, dim) in enumerate(self.axes):
            units = self.get_buffer(f"units{i}")  # of each position along the dimension; -1: no unit of this axis
            gate = torch.where(units < 0, 1.0, self.gates.values(index)[units.clamp_min(0)])
            tensor = tensor * gate.to(tensor.dtype).reshape([-1 if d == dim else 1 for d in range(tensor.ndim)])
        return tensor


def _gateable(model: nn.Module, axes: list[Axis], wiring: Wiring) -> list[Axis]:
    parameters = dict(model.named_parameters())
    tied = set(wiring.aliases.values()) | set(wiring.aliases)

    def free(name: str) -> bool:
        owner = model.get_submodule(name.rpartition(".")[0])
        return name in parameters and name not in tied and not hasattr(owner, "_flat_weights")

    found = [axis for axis in axes if all(free(m.tensor) for m in axis.members if m.trainable)]
    if not found:
        raise ModelError("no unit can get a gate: all weights are tied, recurrent or no parameters of a module")
    return found


def _with_gates(model: nn.Module, axes: list[Axis], open_at_first: float) -> nn.Module:
    gates = Gates([axis.size for axis in axes], open_at_first).to(next(model.parameters()).device)
    places: dict[str, list[tuple[int, int, Tensor]]] = {}
    for i, axis in enumerate(axes):
        for member in axis.members:
            if member.trainable:
                tensor = model.get_parameter(member.tensor)
                units = torch.full((tensor.shape[member.dim],), -1, device=tensor.device)
                for unit, positions in enumerate(member.positions):
                    units[positions] = unit
                places.setdefault(member.tensor, []).append((i, member.dim, units))
    for name, where in places.items():
        owner, _, key = name.rpartition(".")
        parametrize.register_parametrization(model.get_submodule(owner), key, Gated(gates, where))
    return model


def _folded(model: nn.Module) -> nn.Module:
    """The gates, without noise, multiplied into the weights."""
    model.eval()
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            for key in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, key, leave_parametrized=True)
    return model
