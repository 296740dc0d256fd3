"""A toy axis to try scores on, with weights and with whatever evidence a score may ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ..evidence import Activations, LayerInputs, Weights
from ..wiring import Axis, Member, trace

_POSITIONS = 4  # of each channel behind the flatten


@dataclass(frozen=True)
class Toy:
    """One axis with weights and evidence: of a convolution, a batch normalization and a matrix behind a flatten.

    Attributes:
        axis: the axis, which runs through a 4-D weight, a bias, a scale and a shift, and a matrix.
        weights: of the toy.
        evidence: "activations", "gradients" and "wiring", as ``scores.with_evidence`` would gather them.
    """

    axis: Axis
    weights: Weights
    evidence: Mapping[str, Any]

    def permuted(self, order: Sequence[int]) -> Toy:
        """The same network with the units of the axis in another order; the evidence moves along."""
        inputs = self.evidence["activations"].layers["fc.weight"]
        columns = torch.tensor([p for unit in order for p in _columns(unit)])
        moved = replace(
            inputs,
            mean=inputs.mean[:, columns],
            square=inputs.square[:, columns],
            gram=inputs.gram[:, columns][:, :, columns],
        )
        evidence = {
            **self.evidence,
            "activations": replace(self.evidence["activations"], layers={"fc.weight": moved}),
            "gradients": tuple(self._moved(each, order) for each in self.evidence["gradients"]),
        }
        return Toy(self.axis, self._moved(self.weights, order), evidence)

    def _moved(self, weights: Weights, order: Sequence[int]) -> Weights:
        tensors = dict(weights.tensors)
        for member in self.axis.members:
            positions = [p for unit in order for p in member.positions[unit]]
            tensors[member.tensor] = tensors[member.tensor].index_select(member.dim, torch.tensor(positions))
        return Weights(tensors)


def toy(units: int = 6) -> Toy:
    """A toy of so many units, ≥ 1; always the same one."""
    sizes = {"conv.weight:0": units}
    (name,) = sizes

    def member(tensor: str, dim: int, role: str, *inner: int) -> Member:
        return Member(tensor, dim, role, True, (name, *inner), sizes, name)

    members = (
        member("conv.weight", 0, "producer"),
        member("conv.bias", 0, "producer"),
        member("norm.weight", 0, "pointwise"),
        member("norm.bias", 0, "pointwise"),
        member("fc.weight", 1, "consumer", _POSITIONS),
    )
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "conv.weight": (units, 3, 2, 2),
        "conv.bias": (units,),
        "norm.weight": (units,),
        "norm.bias": (units,),
        "fc.weight": (5, units * _POSITIONS),
    }

    def drawn() -> Weights:
        return Weights({key: torch.randn(shape, generator=generator) for key, shape in shapes.items()})

    weights, rows = drawn(), 50 * units
    mix = torch.randn(units * _POSITIONS, units * _POSITIONS, generator=generator)
    x = (torch.randn(rows, units * _POSITIONS, generator=generator) @ mix).relu()
    inputs = LayerInputs(
        name="linear",
        rows=rows,
        mean=x.mean(0, keepdim=True),
        square=x.square().mean(0, keepdim=True),
        gram=(x.T @ x / rows).unsqueeze(0),
        gain=torch.ones(1, 5),
        free=True,
    )
    with torch.device("meta"):  # draws nothing
        network = _Toy()
    evidence = {
        "activations": Activations({"fc.weight": inputs}, "toy"),
        "gradients": (drawn(), drawn(), drawn()),
        "wiring": trace(network, torch.ones(1, 3, 3, 3, device="meta")),
    }
    return Toy(Axis(name, units, None, members), weights, evidence)


def _columns(unit: int) -> range:
    return range(unit * _POSITIONS, (unit + 1) * _POSITIONS)


class _Toy(nn.Module):
    """What the toy's calls are read from; its width does not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 2, 2), nn.BatchNorm2d(2), nn.Linear(2 * _POSITIONS, 5, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.fc(self.norm(self.conv(x)).relu().flatten(1))
        return out
