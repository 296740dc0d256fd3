"""Which layers of an edited model can be refitted, and towards what."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..evidence.patches import CONVOLUTIONS, REFITTABLE
from ..plans import Plan
from ..wiring import Wiring
from ..wiring.layouts import axis_names

_ADDITIONS = ("add", "add_", "__add__", "__iadd__", "__radd__")
_PASSING = ("dropout", "dropout_", "feature_dropout", "contiguous")  # identities in eval mode


@dataclass(frozen=True)
class Refit:
    """One call of a linear layer or convolution whose weight is to be fitted again.

    Attributes:
        call: its index in ``Wiring.calls``.
        name: canonical function name.
        weight, bias: slot names; bias "" where the layer has none.
        norm: (weight, bias, running_mean, running_var) of a batch normalization right behind it, or ().
        epsilon: of that normalization.
        chain: calls between it and ``target``, in order; each is affine in its output, channel by channel.
        target: the residual addition whose result is to be reproduced; -1: the layer's own output.
        limits: only what lies between them is let through by the rectifier (relu, relu6, hardtanh) that alone reads the
            target (or, without one, the normalization's or layer's output); () where there is none.
    """

    call: int
    name: str
    weight: str
    bias: str
    norm: tuple[str, ...]
    epsilon: float
    chain: tuple[int, ...]
    target: int
    limits: tuple[float, float] | tuple[()] = ()


def find_refits(wiring: Wiring, plan: Plan, *, makers: bool = False) -> tuple[Refit, ...]:
    """Layers whose input changes under the plan, in the order in which forward runs them.

    A layer is left alone when its weight is used twice or tied, or comes from another call (a parametrization).

    Args:
        wiring: of the original model.
        plan: what is changed.
        makers: also layers that see what they always saw, but make fewer units of it.
    """
    touched = touched_calls(wiring, plan)
    return refits_among(wiring, touched | _making(wiring, plan) if makers else touched)


def refits_among(wiring: Wiring, calls: Collection[int]) -> tuple[Refit, ...]:
    """The layers among these calls that can be refitted; as ``find_refits``."""
    used = Counter(o.name for call in wiring.calls for o in call.origins if o.kind == "slot")
    tied = set(wiring.aliases.values())
    users = wiring.readers
    refits = []
    for index, call in enumerate(wiring.calls):
        if call.name not in REFITTABLE or index not in calls:
            continue
        if call.name in CONVOLUTIONS and len(call.inputs[0]) != len(call.inputs[1]):
            continue  # one image without a batch dimension
        at = 2 if call.name == "addmm" else 1
        weight = call.origins[at]
        bias = call.origins[0 if call.name == "addmm" else 2] if len(call.origins) > 2 else None
        if weight.kind != "slot" or used[weight.name] > 1 or weight.name in tied:
            continue
        bias_name = bias.name if bias is not None and bias.kind == "slot" and used[bias.name] == 1 else ""
        norm = _norm_behind(wiring, index, users, used)
        epsilon = float(wiring.calls[users[index][0]].note) if norm else 0.0
        chain, target = _towards_addition(wiring, index, users)
        if sum(wiring.calls[i].name == "batch_norm" for i in chain) > bool(norm):
            chain, target = (), -1  # a normalization that others share cannot take the constant
        end = target if target >= 0 else users[index][0] if norm else index
        limits = _limits(wiring, users.get(end, []))
        refits.append(Refit(index, call.name, weight.name, bias_name, norm, epsilon, chain, target, limits))
    return tuple(refits)


def _limits(wiring: Wiring, readers: list[int]) -> tuple[float, float] | tuple[()]:
    """What the one call that reads a result lets through, if it cuts off all else."""
    if len(readers) != 1 or readers[0] < 0:
        return ()
    call = wiring.calls[readers[0]]
    if call.name in ("relu", "relu_"):
        return 0.0, math.inf
    if call.name in ("hardtanh", "hardtanh_") and call.note:
        low, high = map(float, call.note.split())
        return low, high
    return ()


def touched_calls(wiring: Wiring, plan: Plan) -> set[int]:
    """Calls whose result differs from the original's: they read removed units, or something that does."""
    resized = {edit.axis for edit in plan.resizes}
    entered = set()
    for index, call in enumerate(wiring.calls):
        read = [dims for dims, origin in zip(call.inputs, call.origins, strict=True) if origin.kind != "slot"]
        if resized & {name for dims in read for layout in dims for name in axis_names(layout)}:
            entered.add(index)
    return downstream_calls(wiring, entered)


def downstream_calls(wiring: Wiring, calls: Collection[int]) -> set[int]:
    """These calls, and all that read what they compute."""
    found = set(calls)
    for index, call in enumerate(wiring.calls):
        if any(o.kind == "call" and o.call in found for o in call.origins):
            found.add(index)
    return found


def _making(wiring: Wiring, plan: Plan) -> set[int]:
    """Calls whose result has fewer units."""
    resized = {edit.axis for edit in plan.resizes}
    return {
        index
        for index, call in enumerate(wiring.calls)
        if resized & {name for dims in call.outputs for layout in dims for name in axis_names(layout)}
    }


def _norm_behind(wiring: Wiring, index: int, users: Mapping[int, list[int]], used: Counter) -> tuple[str, ...]:
    """Slot names of a batch normalization that alone reads the call's result, and is used once."""
    behind = users.get(index, [])
    if len(behind) != 1 or behind[0] < 0:
        return ()
    call = wiring.calls[behind[0]]
    names = tuple(o.name for o in call.origins[1:] if o.kind == "slot")
    good = call.name == "batch_norm" and len(call.origins) == 5 and call.origins[0].call == index
    return names if good and len(names) == 4 and all(used[n] == 1 for n in names) else ()


def _towards_addition(wiring: Wiring, index: int, users: Mapping[int, list[int]]) -> tuple[tuple[int, ...], int]:
    """Follow the call's result through affine per-channel calls to a residual addition.

    The other summand must be there before this layer runs: then its error is known and is corrected too.
    """
    chain: list[int] = []
    current = index
    while True:
        behind = users.get(current, [])
        if len(behind) != 1 or behind[0] < 0:
            return (), -1
        step = wiring.calls[behind[0]]
        tensors = [o for o in step.origins if o.kind == "call" and o.call == current]
        if len(tensors) != 1:
            return (), -1
        if step.name in _ADDITIONS and len(step.origins) == 2:
            other = next(o for o in step.origins if o is not tensors[0])
            ready = other.kind == "input" or (other.kind == "call" and other.call < index)
            same = step.inputs[0] == step.inputs[1]
            return (tuple(chain), behind[0]) if ready and same else ((), -1)
        if not _is_affine(step.name, step.origins, current):
            return (), -1
        chain.append(behind[0])
        current = behind[0]


def _is_affine(name: str, origins: tuple, current: int) -> bool:
    first = origins[0].kind == "call" and origins[0].call == current
    if name == "batch_norm":
        return first and len(origins) == 5 and all(o.kind == "slot" for o in origins[1:])
    return name in _PASSING and first
