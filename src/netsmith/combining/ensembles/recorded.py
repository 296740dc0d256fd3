"""Ensembles over recorded outputs: each member runs over the data once, and every ensemble is tried on what it said."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .cascade import Cascade
from .container import Ensemble
from .outputs import Outputs
from .quality import Quality, scored


class Recorded(nn.Module):
    """Stands in for a member: returns what that member said of the examples with these numbers."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, rows: Tensor) -> Tensor:
        return self.scores[rows]


def recorded(outputs: Outputs) -> dict[str, nn.Module]:
    """Name -> stand-in; their input is the numbers of examples (N,) int64."""
    return {name: Recorded(scores) for name, scores in zip(outputs.names, outputs.scores, strict=True)}


def with_members(model: Ensemble, members: Mapping[str, nn.Module]) -> Ensemble:
    """The same ensemble around other members of the same names; weights, thresholds and heads are shared."""
    twin = copy.copy(model)
    twin._modules = dict(model._modules)  # its own, so that the given ensemble keeps its members
    twin.members = nn.ModuleList(members[name] for name in model.names)
    return twin


def judge(model: Ensemble, outputs: Outputs, macs: Mapping[str, float]) -> Quality:
    """What ``quality.evaluate`` says, without running any member.

    Args:
        model: an ensemble whose members are among those of ``outputs``, and whose gate, if any, reads their scores.
        outputs: of the members on the examples to judge on.
        macs: of each member for one example, see ``quality.macs_of``.
    """
    rows = torch.arange(len(outputs.labels))
    stand_in = with_members(model, recorded(outputs))
    with torch.no_grad():
        scores = stand_in(rows)
    costs = [macs[name] for name in model.names]
    heads = [child for name, child in model.named_children() if name != "members"]  # a stack's layer, a gate
    worst = sum(costs) + sum(p.numel() for head in heads for p in head.parameters() if p.ndim == 2)
    mean = worst
    if isinstance(stand_in, Cascade):
        mean = sum(cost * share for cost, share in zip(costs, stand_in.reached([rows]), strict=True))
    return Quality(**scored(scores.log_softmax(1), outputs.labels), mean_macs=mean, worst_macs=worst)
