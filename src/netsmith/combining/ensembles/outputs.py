"""What members say about labelled data: computed once, used by whatever fits weights, thresholds and heads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...data.running import call, each_batch, eval_mode, logits
from ...errors import InputError, ModelError


@dataclass(frozen=True, eq=False)
class Outputs:
    """Scores of M members for N examples.

    Attributes:
        names: of the members.
        scores: (M, N, C) float32.
        labels: (N,) int64 in 0..C-1.
    """

    names: tuple[str, ...]
    scores: Tensor
    labels: Tensor

    def rows(self, chosen: Tensor) -> Outputs:
        """The same of a part of the examples: indices or a mask (N,)."""
        return Outputs(self.names, self.scores[:, chosen], self.labels[chosen])

    def log_probabilities(self) -> Tensor:
        """(M, N, C) in nats."""
        return self.scores.log_softmax(-1)


def gather(members: Mapping[str, nn.Module], data: Iterable[Any]) -> Outputs:
    """Run every member over the data.

    Args:
        members: name -> model that returns (N, C) scores. They run in eval mode; their modes are restored.
        data: batches (x, y), y (N,) class numbers. Each batch is read once.

    Raises:
        InputError: no batch, no labels, labels outside the classes, or members that disagree about the classes.
        ModelError: a member returns NaN or infinite scores.
    """
    scores: dict[str, list[Tensor]] = {name: [] for name in members}
    labels: list[Tensor] = []
    for x, y in each_batch(data):
        if not isinstance(y, Tensor) or y.ndim != 1 or y.is_floating_point():
            raise InputError("ensembles are fitted on labelled data: give batches (x, y) with y (N,) class numbers")
        labels.append(y.cpu().long())
        for name, member in members.items():
            with eval_mode(member), torch.no_grad():
                found = logits(call(member, x)).float().cpu()
            _check(name, found, y)
            scores[name].append(found)
    stacked = [torch.cat(found) for found in scores.values()]
    classes = {name: found.shape[1] for name, found in zip(members, stacked, strict=True)}
    if len(set(classes.values())) > 1:
        raise InputError(f"members must score the same classes, but they return {_pairs(classes)}")
    truth = torch.cat(labels)
    count = next(iter(classes.values()))
    if bool((truth < 0).any()) or bool((truth >= count).any()):
        raise InputError(f"labels go from {truth.min()} to {truth.max()}, but the members score classes 0..{count - 1}")
    return Outputs(tuple(members), torch.stack(stacked), truth)


def outputs_of(members: Mapping[str, nn.Module], data: Iterable[Any] | Outputs) -> Outputs:
    """Outputs that were gathered before, checked against the members, or else gathered now."""
    if not isinstance(data, Outputs):
        return gather(members, data)
    if data.names != tuple(members):
        raise InputError(f"the outputs are those of {', '.join(data.names)}; the members are {', '.join(members)}")
    return data


def _check(name: str, found: Tensor, y: Tensor) -> None:
    if found.ndim != 2 or len(found) != len(y):
        raise InputError(
            f"member {name!r} returns {tuple(found.shape)} for {len(y)} labels; it must return (N, C) class scores"
        )
    if not bool(found.isfinite().all()):
        raise ModelError(f"member {name!r} returns NaN or infinite scores")


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in values.items())
