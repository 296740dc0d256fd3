"""Who teaches: a network, the mean of several, or what one of them said before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data.running import call, eval_mode, logits
from ..errors import InputError
from .teacher_cache import TeacherCache, open_cache

Mask = Callable[[Any], Tensor]
"""x -> the positions of the outputs that count, of the outputs' shape without the classes."""


class Ensemble(nn.Module):
    """Several networks as one: the logarithm of the mean of their class probabilities.

    Source: Lakshminarayanan, Pritzel & Blundell, NeurIPS 2017, arXiv:1612.01474; Hinton et al. 2015 distil such means.
    """

    def __init__(self, members: Sequence[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """(..., classes) log-probabilities; a batch as its members take it."""
        probabilities = [logits(member(*args, **kwargs)).float().softmax(-1) for member in self.members]
        mean = torch.stack(probabilities).mean(0)
        return mean.clamp_min(torch.finfo(mean.dtype).tiny).log()


def one_teacher(teacher: nn.Module | Sequence[nn.Module]) -> nn.Module:
    """The teacher itself, or the ensemble of several.

    Raises:
        InputError: neither a module nor several.
    """
    if isinstance(teacher, nn.Module) and not isinstance(teacher, nn.ModuleList):
        return teacher
    members = list(teacher) if isinstance(teacher, Iterable) else []
    if not members or not all(isinstance(member, nn.Module) for member in members):
        raise InputError(f"teacher is a {type(teacher).__name__}; give a torch.nn.Module, or a list of them")
    return Ensemble(members)


class Teacher:
    """x -> the teacher's outputs; within ``with`` it is in eval mode, afterwards as it was.

    Args:
        model: the teacher.
        data: what a cache is made from.
        cache: file of its outputs; made where it is absent.
    """

    def __init__(self, model: nn.Module, data: Iterable[Any], cache: str | os.PathLike[str] | None = None):
        self.model, self.data, self.path = model, data, None if cache is None else Path(cache)
        self._said: TeacherCache | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Teacher:
        self._stack.enter_context(eval_mode(self.model))
        if self.path is not None:
            try:
                self._said = self._stack.enter_context(open_cache(self.path, self.model, self.data))
            except BaseException:
                self._stack.close()
                raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def __call__(self, x: Any) -> Tensor:
        return logits(call(self.model, x)) if self._said is None else self._said.outputs(x)


def masked(scores: Tensor, target: Tensor, y: Any, mask: Mask | None, x: Any) -> tuple[Tensor, Tensor, Any]:
    """Only what counts: (M, classes) each, and the labels that belong to it.

    Raises:
        InputError: the mask has another shape than the outputs, or nothing counts.
    """
    if mask is None:
        return scores, target, y
    counts = mask(x)
    if not isinstance(counts, Tensor) or counts.shape != scores.shape[:-1]:
        got = tuple(counts.shape) if isinstance(counts, Tensor) else type(counts).__name__
        raise InputError(f"mask gave {got}; expected {tuple(scores.shape[:-1])}, one entry per output")
    counts = counts.to(scores.device).bool()
    if not counts.any():
        raise InputError("the mask leaves nothing of a batch; leave such batches out of the data")
    fits = isinstance(y, Tensor) and y.shape == counts.shape
    return scores[counts], target[counts], y[counts] if fits else None
