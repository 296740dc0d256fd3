"""Inserts layers into plain networks: behind a rectifier an identity kernel and the same rectifier change nothing.

Where that may be is read from the recorded calls: an item of a container whose last call is a ReLU, or one with limits
(ReLU6, hardtanh), of what a convolution or a linear layer gives, normalized or pooled perhaps; or an item of an
``nn.ModuleList`` behind which forward calls such a rectifier, as it then does behind a new item.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from torch import nn

from ..errors import PlanError
from ..wiring import Block, Wiring
from ..wiring.collector import no_collections
from ..wiring.depth import is_item, parent_of, shared_with
from ..wiring.layouts import layout_size
from ..wiring.recorder import Origin
from ..wiring.wiring import WiredCall
from .deepening import changed
from .edits import InsertIdentity
from .plan import Plan
from .silencing import base_name

_RECTIFIERS = frozenset("relu relu6 hardtanh".split())  # given what they returned they return it again
_LAYERS = {"linear": 0, "conv1d": 1, "conv2d": 2, "conv3d": 3}  # and how many dimensions their kernel has
_BETWEEN = frozenset(
    """
    batch_norm group_norm instance_norm dropout feature_dropout max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d
    avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    """.split()
)
_MOST_KERNEL = 3


@no_collections()
def plan_identities(wiring: Wiring, after: Sequence[str]) -> Plan:
    """The plan that puts an identity layer behind each of these items, proved on a twin of the model.

    Args:
        wiring: of the model.
        after: items of an ``nn.Sequential`` or ``nn.ModuleList`` that end in a rectifier; none inside another.

    Raises:
        PlanError: no identity can be put behind an item, or a twin with them did not do what the model does.
    """
    found = places(wiring)
    for name in after:
        if name not in found:
            raise PlanError(
                f"behind {name!r} there is no place for an identity: it is no item, used once, of an nn.Sequential or "
                "nn.ModuleList that ends in a rectifier behind a convolution or a linear layer"
            )
    plan = Plan(tuple(edit for name, edit in found.items() if name in after), {}, {}, {}, wiring.fingerprint)
    why = changed(wiring, plan, _inserted)
    if why is not None:
        raise PlanError(f"with identities behind {', '.join(after)} the model would be another: {why}")
    return plan


def places(wiring: Wiring) -> dict[str, InsertIdentity]:
    """Items behind which an identity may be put, with the edit that does it, by their last call.

    Whether a model with them runs only ``plan_identities`` proves. Of items in one another each may be there.
    """
    found = []
    for path, calls in _calls_of(wiring).items():
        if calls[-1] - calls[0] + 1 != len(calls) or not is_item(wiring.model, path):
            continue
        edit = _identity(wiring, path, calls[-1])
        if edit is not None and shared_with(wiring.model, path) is None:
            found.append((calls[-1], edit))
    return {edit.block: edit for _, edit in sorted(found, key=lambda each: (each[0], each[1].block))}


def _calls_of(wiring: Wiring) -> dict[str, list[int]]:
    """Module path -> the calls inside, ascending."""
    found: dict[str, list[int]] = {}
    for index, call in enumerate(wiring.calls):
        pieces = call.module.split(".") if call.module else []
        for i in range(len(pieces)):
            found.setdefault(".".join(pieces[: i + 1]), []).append(index)
    return found


def _identity(wiring: Wiring, path: str, end: int) -> InsertIdentity | None:
    listed = isinstance(wiring.model.get_submodule(parent_of(path)[0]), nn.ModuleList)
    rectifier = _rectifier_of(wiring, end)
    if rectifier is None or (rectifier != end and not listed):
        return None
    last = wiring.calls[rectifier]
    layer, norm = _layer_before(wiring, last.origins[0])
    if layer is None or (not f"{layer.module}.".startswith(f"{path}.") and rectifier != end):
        return None
    shape = [layout_size(layout, wiring.sizes) for layout in last.outputs[0]]
    kind = cast(Literal["linear", "conv1d", "conv2d", "conv3d"], base_name(layer.name))
    dims = _LAYERS[kind]
    if norm is not None and len(shape) != 2 + dims:
        return None  # it would normalize another dimension than the layer's units
    width, weight = shape[-dims - 1], [layout_size(layout, wiring.sizes) for layout in layer.inputs[1]]
    kernel = tuple(
        1 if here == 1 else min(own, _MOST_KERNEL) // 2 * 2 + 1
        for own, here in zip(weight[2:], shape[len(shape) - dims :], strict=True)
    )
    like = _parameter(wiring, layer.origins[1], width)
    if like is None:
        return None
    return InsertIdentity(path, kind, width, like, kernel, norm, _limits(last), rectifier == end)


def _rectifier_of(wiring: Wiring, end: int) -> int | None:
    """This call if it rectifies, else the next one if it does and nothing else reads this one's result."""
    if base_name(wiring.calls[end].name) in _RECTIFIERS:
        return end
    alone = wiring.readers.get(end) == [end + 1] and end + 1 < len(wiring.calls)
    return end + 1 if alone and base_name(wiring.calls[end + 1].name) in _RECTIFIERS else None


def _layer_before(wiring: Wiring, origin: Origin) -> tuple[WiredCall | None, float | None]:
    """The convolution or linear layer whose result comes here, and the epsilon of a batch normalization between."""
    norm = None
    while origin.kind == "call":
        call = wiring.calls[origin.call]
        name = base_name(call.name)
        if name in _LAYERS:
            return call, norm
        if name not in _BETWEEN:
            break
        if name == "batch_norm":
            norm = float(call.note)
        origin = call.origins[0]
    return None, None


def _parameter(wiring: Wiring, origin: Origin, width: int) -> str | None:
    """A parameter with one entry a unit in its first dimension, of which this value is made."""
    if origin.kind == "slot":
        tensor = wiring.tensors[origin.name]
        fits = tensor.is_floating_point() and tensor.dim() > 0 and tensor.shape[0] == width
        return origin.name if fits and origin.name in wiring.parameter_names() else None
    made_of = wiring.calls[origin.call].origins if origin.kind == "call" else ()
    return next((name for each in made_of if (name := _parameter(wiring, each, width)) is not None), None)


def _limits(call: WiredCall) -> tuple[float, float] | None:
    if base_name(call.name) == "relu":
        return None
    low, high = map(float, call.note.split()) if call.note else (0.0, 6.0)  # relu6 takes none
    return low, high


def _inserted(wider: Wiring, place: str) -> Block | None:
    """The calls of an inserted layer and its rectifier, if it runs once and reads what such a rectifier returns."""
    calls = _calls_of(wider).get(place, [])
    if not calls or calls[-1] - calls[0] + 1 != len(calls):
        return None
    entry = wider.calls[calls[0]].origins[0]
    if entry.kind != "call":
        return None
    end = _rectifier_of(wider, calls[-1])
    if end is None:
        return None
    last, before = wider.calls[end], wider.calls[entry.call]
    same = base_name(before.name) in _RECTIFIERS and _limits(before) == _limits(last)
    result = Origin("call", call=end)
    return Block(place, "Sequential", calls[0], end, 0, entry, result, False, None) if same else None
