"""Layers inside: the student's features, linearly projected, are to be the teacher's.

The projection starts as the least-squares fit, so that from the first step the loss says what the student lacks and not
what a random matrix does; then it is trained along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from ..data.running import call, device_of, each_batch, eval_mode
from ..errors import InputError
from ..evidence import Moments, ridge
from .order import begin_pass, random_state_kept

_FITTED_ON = 8  # batches
_RIDGE = 1e-3


class Features:
    """Pairs of layers and the projections between them; within ``with`` both networks are watched.

    Args:
        student, teacher: the student is watched as it is trained: see ``watch``.
        pairs: module path in the student -> module path in the teacher; outputs (N, C), (N, T, C) or (N, C, H, W).
        data: the first batches of it fit the projections; a map of other height and width is averaged to the smaller.
        seed: of the order of the data.

    Raises:
        InputError: a path that is no layer, or a layer that returns no such tensor.
    """

    def __init__(
        self, student: nn.Module, teacher: nn.Module, pairs: Mapping[str, str], data: Iterable[Any], *, seed: int
    ):
        self.pairs, self.teacher = dict(pairs), teacher
        for model, names in ((student, pairs), (teacher, pairs.values())):
            known = dict(model.named_modules())
            for name in names:
                if name not in known:
                    raise InputError(f"features: {type(model).__name__} has no layer {name!r}")
        self._got: dict[tuple[str, str], Tensor] = {}
        self._stack = ExitStack()
        self._watched: nn.Module | None = None
        with ExitStack() as stack, torch.no_grad(), random_state_kept(device_of(student), data):
            for model in (student, teacher):
                stack.enter_context(eval_mode(model))
            _hook(stack, student, self.pairs, "student", self._got)
            _hook(stack, teacher, self.pairs.values(), "teacher", self._got)
            begin_pass(seed, 0, device_of(student), data)
            self.projections, self._scales = self._fitted(student, data)
        self._got.clear()

    def __enter__(self) -> Features:
        _hook(self._stack, self.teacher, self.pairs.values(), "teacher", self._got)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        self._got.clear()

    def watch(self, model: nn.Module) -> None:
        """See the layers of the network that is trained, perhaps wrapped for several processes."""
        inner = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
        if inner is not self._watched:
            _hook(self._stack, inner, self.pairs, "student", self._got)
            self._watched = inner

    def error(self) -> Tensor:
        """Σ over pairs of E‖projected − teacher‖² / variance of the teacher's, after both have run."""
        total = torch.zeros(())
        for (ours, theirs), projection, scale in zip(self.pairs.items(), self.projections, self._scales, strict=True):
            x, t = _rows(self._got["student", ours], self._got["teacher", theirs])
            total = total.to(x.device) + (projection(x.float()) - t.to(x.device).float()).square().mean() / scale
        return total

    def _fitted(self, student: nn.Module, data: Iterable[Any]) -> tuple[nn.ModuleList, list[float]]:
        moments: list[Moments] = []
        for x, _ in islice(each_batch(data), _FITTED_ON):
            call(student, x), call(self.teacher, x)
            for i, (ours, theirs) in enumerate(self.pairs.items()):
                a, b = _rows(self._got["student", ours], self._got["teacher", theirs])
                if i == len(moments):
                    moments.append(Moments(1, a.shape[1], b.shape[1], a.device))
                moments[i].add(a.float().unsqueeze(1), b.float().to(a.device).unsqueeze(1))
        projections, scales = nn.ModuleList(), []
        for each in moments:
            covariance, cross = each.centred()
            weight = ridge(covariance, cross, torch.zeros_like(cross), _RIDGE)
            layer = nn.Linear(weight.shape[1], weight.shape[2], device=weight.device)
            with torch.no_grad():
                layer.weight.copy_(weight[0].T)
                layer.bias.copy_(each.intercepts(weight)[0])
            projections.append(layer)
            variance = (each.tt / each.rows - (each.t / each.rows).square()).mean()
            scales.append(max(float(variance), 1e-12))
        return projections, scales


def _hook(
    stack: ExitStack, model: nn.Module, names: Iterable[str], who: str, got: dict[tuple[str, str], Tensor]
) -> None:
    modules = dict(model.named_modules())

    def keeping(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            if not isinstance(output, Tensor) or output.ndim not in (2, 3, 4):
                raise InputError(f"features: layer {name!r} must return a tensor (N, C), (N, T, C) or (N, C, H, W)")
            got[who, name] = output

        return keep

    for name in dict.fromkeys(names):
        stack.callback(modules[name].register_forward_hook(keeping(name)).remove)


def _rows(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """(rows, channels) of both, row by row at the same place."""
    if student.ndim != teacher.ndim or len(student) != len(teacher):
        raise InputError(f"features of shapes {tuple(student.shape)} and {tuple(teacher.shape)} cannot be paired")
    if student.ndim == 4:
        size = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
        student, teacher = (
            (t if tuple(t.shape[2:]) == size else adaptive_avg_pool2d(t, size)).movedim(1, -1)
            for t in (student, teacher)
        )
    if student.shape[:-1] != teacher.shape[:-1]:
        raise InputError(f"features of shapes {tuple(student.shape)} and {tuple(teacher.shape)} cannot be paired")
    return student.flatten(0, -2), teacher.flatten(0, -2)
