"""Tries a widening on a twin: does every call return copies of what it returned before?

The model and its wider twin run once with the same inputs, in float64 throughout where they can. Of each result some
thousand elements are drawn, in the narrow model those that the drawn elements are copies of, so that nothing large
stays in memory. The first call whose elements differ names the axes that cannot be widened. The outputs are compared
in full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..wiring import Wiring, call_model
from ..wiring.capture import transparent_functional
from ..wiring.depth import shell
from ..wiring.inputs import map_tensors
from ..wiring.layouts import Layout, axis_names, kept_positions, position_shares
from ..wiring.proof import Divergence, blame, resized_copy
from ..wiring.recorder import counts, function_name, tensors_in
from ..wiring.slots import tensor_slots
from .plan import Plan
from .sizing import Sizing
from .stand_in_values import put_values, real_inputs, uneven_values
from .values import resized_values

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}
_LARGEST = 1e6  # masks of -infinity count as this
_DRAWN = 2048
_WITHOUT_VALUES = ("empty", "new_empty")

Visit = Callable[[str, tuple, list[torch.Tensor]], None]


def first_difference(wiring: Wiring, sizing: Sizing, plan: Plan) -> Divergence | None:
    """None when a twin of the model, widened as planned, gives the model's outputs; else where it goes astray.

    Args:
        wiring: of the model, with the calls of a real forward (``as_run``).
        sizing: sizes after the plan.
        plan: widens axes.
    """
    last: Exception | None = None
    for dtype in (torch.float64, torch.float32):
        try:
            reference = _Samples(wiring, plan)
            inputs = real_inputs(wiring.example_inputs, dtype)
            values = uneven_values(wiring.model, dtype)
            before = _outputs(put_values(shell(wiring.model), values), inputs, reference.note)
        except Exception as error:  # something in this forward may insist on its own precision
            last = error
            continue
        return _compare(wiring, sizing, plan, reference, values, inputs, before, dtype)
    changed = frozenset(edit.axis for edit in plan.widenings)
    return Divergence(changed, f"forward raises {type(last).__name__}: {str(last)[:200]}")


def outputs_differ(before: nn.Module, after: nn.Module, example_inputs: Any) -> str | None:
    """None where two models of our own with float64 weights give the same outputs, else what differs."""
    last: Exception | None = None
    for dtype in (torch.float64, torch.float32):
        inputs = real_inputs(example_inputs, dtype)
        try:
            for model in (before, after):
                put_values(model, {s.name: _cast(s.tensor, dtype) for s in tensor_slots(model)})
            left, right = (_outputs(model, inputs, lambda *_: None) for model in (before, after))
        except Exception as error:  # something in this forward may insist on its own precision
            last = error
            continue
        same = len(left) == len(right) and all(a.shape == b.shape for a, b in zip(left, right, strict=True))
        if same and all(_close(a, b, _TOLERANCE[dtype]) for a, b in zip(left, right, strict=True)):
            return None
        return "it gives other outputs"
    return f"forward raises {type(last).__name__}: {str(last)[:200]}"


def _cast(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return tensor.detach().to(dtype) if tensor.is_floating_point() else tensor.detach()


def _compare(
    wiring: Wiring,
    sizing: Sizing,
    plan: Plan,
    reference: _Samples,
    values: dict[str, torch.Tensor],
    inputs: Any,
    before: list[torch.Tensor],
    dtype: torch.dtype,
) -> Divergence | None:
    wider = {
        name: resized_values(value, plan.taken(name), plan.shares(name)) if name in plan.layouts else value
        for name, value in values.items()
    }
    del values
    twin = put_values(resized_copy(wiring, sizing.sizes, sizing.attributes), wider)
    for key, (_, number) in plan.attributes.items():
        path, _, name = key.partition(":")
        if isinstance(number, float):
            twin.get_submodule(path).__dict__[name] = number
    comparison = _Comparison(wiring, reference, _TOLERANCE[dtype])
    try:
        after = _outputs(twin, inputs, comparison.note)
    except _Astray as astray:
        return _blamed(wiring, plan, astray.call, astray.why)
    except Exception as error:
        return _blamed(wiring, plan, comparison.call, f"{type(error).__name__}: {str(error)[:200]}")
    for a, b in zip(before, after, strict=False):
        if a.shape == b.shape and not _close(a, b, _TOLERANCE[dtype]):
            return _blamed(wiring, plan, len(wiring.calls) - 1, "the outputs differ")
    return None


def _close(a: torch.Tensor, b: torch.Tensor, tolerance: float) -> bool:
    gap = (a - b).abs().max() if a.numel() else torch.zeros(())
    return bool(gap <= tolerance * a.abs().max()) if a.numel() else True


def _blamed(wiring: Wiring, plan: Plan, index: int, why: str) -> Divergence:
    """Axes that the call sums over, else those that meet there, else those that met before."""
    changed = frozenset(edit.axis for edit in plan.widenings)
    call = wiring.calls[min(index, len(wiring.calls) - 1)]
    inside, outside = (
        {n for dims in group for layout in dims for n in axis_names(layout)} for group in (call.inputs, call.outputs)
    )
    met = frozenset(inside - outside) & changed or frozenset(inside | outside) & changed
    why = f"its copies would change the result: {why}"
    return Divergence(met, why) if met else blame(wiring, changed, min(index, len(wiring.calls) - 1), why)


class _Astray(Exception):
    def __init__(self, call: int, why: str):
        super().__init__(why)
        self.call, self.why = call, why


@dataclass(frozen=True)
class _Expected:
    """What the wide model must return: elements at places drawn from this shape, as one of these."""

    shape: tuple[int, ...]
    values: tuple[torch.Tensor, ...]


class _Samples:
    """Of each result of the narrow model: the function's name, and what the wide one must return instead."""

    def __init__(self, wiring: Wiring, plan: Plan):
        self.wiring = wiring
        self.source = {edit.axis: edit.source for edit in plan.widenings}
        consumers = {(m.tensor, m.dim) for axis in wiring.axes for m in axis.members if m.role == "consumer"}
        consumers |= {(alias, d) for alias, first in wiring.aliases.items() for name, d in consumers if name == first}
        # results along these axes may be shared out already where they are computed
        self.share = {e.axis: e.share for e in plan.widenings if not set(e.divided) <= consumers}
        self.sizes = {**wiring.sizes, **plan.new_sizes}
        self.read = {(o.call, o.output) for call in wiring.calls for o in call.origins if o.kind == "call"}
        self.noted: list[tuple[str, list[_Expected | None]]] = []
        self.known: dict[Layout, torch.Tensor] = {}

    def note(self, name: str, given: tuple, outs: list[torch.Tensor]) -> None:
        index = len(self.noted)
        calls = self.wiring.calls
        known = index < len(calls) and calls[index].name == name and not name.startswith(_WITHOUT_VALUES)
        found = [
            self.expected(out, calls[index].outputs[i], index) if known and (index, i) in self.read else None
            for i, out in enumerate(outs)
        ]
        self.noted.append((name, found))

    def expected(self, out: torch.Tensor, layouts: Sequence[Layout], seed: int) -> _Expected | None:
        if len(layouts) != out.dim() or out.is_complex() or not out.numel():
            return None
        changed = [any(name in self.source for name in axis_names(layout)) for layout in layouts]
        sizes = [
            self.places(layout) if this else n for layout, this, n in zip(layouts, changed, out.shape, strict=True)
        ]
        shape = tuple(n if isinstance(n, int) else len(n) for n in sizes)
        at = _drawn(shape, seed)
        own = [i if isinstance(n, int) else n[i] for i, n in zip(at, sizes, strict=True)]
        if any(int(i.max()) >= n for i, n in zip(own, out.shape, strict=True)):
            return None  # a shape that depends on values
        values = _values(out, own)
        shares = torch.ones_like(values)
        for i, layout in zip(at, layouts, strict=True):
            if any(name in self.share for name in axis_names(layout)):
                shares *= torch.tensor(position_shares(layout, self.sizes, self.share), dtype=values.dtype)[i]
        both = (values,) if bool((shares == 1).all()) else (values, values * shares)
        return _Expected(shape, both)

    def places(self, layout: Layout) -> torch.Tensor:
        if layout not in self.known:
            self.known[layout] = torch.tensor(kept_positions(layout, self.wiring.sizes, self.source))
        return self.known[layout]


class _Comparison:
    """Raises ``_Astray`` at the first call of the wide model that does not return the narrow one's result in copies."""

    def __init__(self, wiring: Wiring, reference: _Samples, tolerance: float):
        self.wiring, self.noted, self.tolerance = wiring, reference.noted, tolerance
        self.call = 0

    def note(self, name: str, given: tuple, outs: list[torch.Tensor]) -> None:
        index, self.call = self.call, self.call + 1
        if index >= len(self.noted) or self.noted[index][0] != name:
            raise _Astray(index, f"{name} is called in addition")
        if not any(self.noted[index][1]):
            return
        # where large numbers cancel the result is as exact as they were
        scale = 1e-3 * max((_size(_values(t, _drawn(t.shape, 0))) for t in tensors_in(given) if t.numel()), default=0.0)
        for out, expected in zip(outs, self.noted[index][1], strict=False):
            module = self.wiring.calls[index].module or "the model"
            if expected is None:
                continue
            if expected.shape != tuple(out.shape):
                raise _Astray(index, f"{name} in {module} gives another shape")
            found = _values(out, _drawn(expected.shape, index))
            room = self.tolerance * (scale + _size(found))
            if not any(_size(found - each) <= room for each in expected.values):
                raise _Astray(index, f"{name} in {module} gives something else")


def _drawn(shape: Sequence[int], seed: int) -> list[torch.Tensor]:
    """Places of some elements of a tensor of this shape: for each dimension their positions along it."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(n, (_DRAWN,), generator=generator) for n in shape]


def _values(tensor: torch.Tensor, places: Sequence[torch.Tensor]) -> torch.Tensor:
    if tensor.is_complex():
        return torch.zeros(1, dtype=torch.float64)
    drawn = tensor.detach()[tuple(i.to(tensor.device) for i in places)].cpu().double()
    return drawn.nan_to_num(0.0, _LARGEST, -_LARGEST).clamp(-_LARGEST, _LARGEST)


def _size(values: torch.Tensor) -> float:
    return float(values.square().mean().sqrt())


class _Visiting(TorchFunctionMode):
    def __init__(self, visit: Visit):
        super().__init__()
        self.visit = visit

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out, name = func(*args, **(kwargs or {})), function_name(func)
        outs = tensors_in(out)
        if counts(name, outs):
            self.visit(name, args, outs)
        return out


class _Double(TorchFunctionMode):
    """What forward turns to float32 stays float64 (most root mean squares do): rounding hides no difference."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        args = tuple(torch.float64 if each is torch.float32 else each for each in args)
        return func(*args, **{k: torch.float64 if v is torch.float32 else v for k, v in (kwargs or {}).items()})


def _outputs(model: nn.Module, inputs: Any, visit: Visit) -> list[torch.Tensor]:
    inputs = map_tensors(inputs, torch.clone)  # forward may overwrite them
    double = any(slot.tensor.dtype is torch.float64 for slot in tensor_slots(model))
    with _same_random_numbers(), torch.no_grad(), transparent_functional(), _Visiting(visit):
        with _Double() if double else nullcontext():
            out = call_model(model, inputs)
    return [t.detach().double() for t in tensors_in(out) if t.is_floating_point()]


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    """Both runs draw the same, and the caller's program draws what it would have drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
