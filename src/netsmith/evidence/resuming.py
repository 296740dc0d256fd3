"""Forwards that start in the middle: what lies before the first changed call is computed once, not once per change.

A ``Checkpoint`` holds the results that later calls read. Resuming from it runs the model's own forward; its calls up
to there are not computed but answered, with the kept result where a later call reads it and otherwise with a stand-in
of the right shape that fills no memory and holds NaN, so that a result that was needed after all cannot go unnoticed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..errors import EvidenceError, NetsmithError
from ..wiring import Wiring, call_model
from ..wiring.capture import transparent_functional
from ..wiring.inputs import map_tensors
from ..wiring.recorder import counts, function_name, tensors_in
from .apart import apart
from .products import computed
from .stepping import raises


@dataclass(frozen=True)
class Checkpoint:
    """One batch's forward up to a call.

    Attributes:
        call: the first call, counted as in ``Wiring.calls``, that is still to run.
        inputs: the batch.
        answers: what each call before it returned; stand-ins where nothing later reads it.
    """

    call: int
    inputs: Any
    answers: tuple[Any, ...] = ()


def advance(wiring: Wiring, checkpoint: Checkpoint, call: int, model: nn.Module | None = None) -> Checkpoint:
    """Run the wired model, or one that makes the same calls, from a checkpoint up to a later call.

    Raises:
        EvidenceError: forward raises on this batch, or goes another way than with the example inputs.
    """
    if call == checkpoint.call:
        return checkpoint
    read = _read_from(wiring, call)
    mode = run_to(wiring, wiring.model if model is None else model, checkpoint, call)
    # A call may pass on what it was given (dropout in eval mode): then the record says that the earlier one is read.
    kept = {place for i in read for place in _places(mode.answers[i])}
    answers = [a if i in read or kept & _places(a) else _outline(a) for i, a in enumerate(mode.answers)]
    return Checkpoint(call, checkpoint.inputs, tuple(answers))


def run_to(
    wiring: Wiring, model: nn.Module, checkpoint: Checkpoint, call: int, *watching: TorchFunctionMode
) -> _Resumed:
    """Run forward from a checkpoint until a call is about to run, or to its end, under further function modes."""
    mode = _Resumed(wiring, checkpoint, until=call)
    with contextlib.suppress(_Reached):
        _run(apart(wiring, model), checkpoint.inputs, mode, *watching)
    return mode


def resume(wiring: Wiring, model: nn.Module, checkpoint: Checkpoint) -> Any:
    """The output of a model that differs from the wired one from the checkpoint's call on.

    Raises:
        EvidenceError: forward raises on this batch, or goes another way than with the example inputs.
    """
    return _run(apart(wiring, model), checkpoint.inputs, _Resumed(wiring, checkpoint, until=None))


def _run(model: nn.Module, inputs: Any, *modes: TorchFunctionMode) -> Any:
    try:
        with transparent_functional(), torch.no_grad(), contextlib.ExitStack() as stack:
            for mode in modes:
                stack.enter_context(mode)
            return call_model(model, inputs)
    except NetsmithError:
        raise
    except Exception as error:  # the model's own code
        raise raises("forward", inputs, error) from error


def _read_from(wiring: Wiring, call: int) -> set[int]:
    """Calls before ``call`` whose result it or a later one reads, or the model gives out."""
    later = [o for each in wiring.calls[call:] for o in each.origins]
    read = {o.call for o in (*later, *wiring.output_origins) if o.kind == "call" and o.call < call}
    pending = list(read)
    while pending:  # a call that only writes returns nothing: what it wrote into is what is read
        index = pending.pop()
        if wiring.calls[index].name == "__setitem__":
            pending += [o.call for o in wiring.calls[index].origins[:1] if o.kind == "call" and o.call not in read]
            read |= set(pending)
    return read


def _places(answer: Any) -> set[int]:
    """Where in memory its tensors lie."""
    return {t.untyped_storage().data_ptr() for t in tensors_in(answer) if t.layout == torch.strided} - {0}


def _outline(answer: Any) -> Any:
    """The same with every floating-point tensor replaced by one NaN, expanded."""

    def outlined(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_floating_point() or tensor.numel() < 2:
            return tensor
        return torch.full((), torch.nan, dtype=tensor.dtype, device=tensor.device).expand(tensor.shape)

    try:
        return map_tensors(answer, outlined)
    except TypeError:  # a result of a type that cannot be made anew
        return answer


def _fresh(answer: Any) -> Any:
    """A copy that in-place calls may write; stand-ins are passed on."""
    try:
        return map_tensors(answer, lambda t: t if 0 in t.stride() and t.numel() > 1 else t.clone())
    except TypeError:
        return answer


class _Reached(BaseException):
    """Ends a forward that has come far enough."""


class _Resumed(TorchFunctionMode):
    def __init__(self, wiring: Wiring, checkpoint: Checkpoint, until: int | None):
        super().__init__()
        self._names: Sequence[str] = [call.name for call in wiring.calls]
        self._start, self._until, self._count = checkpoint, until, 0
        self.answers: list[Any] = []

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name, kwargs = function_name(func), kwargs or {}
        expected = self._names[self._count] if self._count < len(self._names) else ""
        if self._count < self._start.call and name == expected:
            out = self._start.answers[self._count]
            out = out if self._until is not None else _fresh(out)
        else:
            if self._count == self._until and name == expected:
                raise _Reached
            out = computed(func, args, kwargs)
            if not counts(name, tensors_in(out)):
                return out
            if name != expected:
                raise EvidenceError(
                    f"forward took another path than with the example inputs: call {self._count} is {name}, was "
                    f"{expected or 'none'}. Models whose path depends on values cannot be measured layer by layer."
                )
        if self._until is not None:
            self.answers.append(out)
        self._count += 1
        return out
