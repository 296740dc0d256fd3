"""What a model costs now, and what it would cost with other widths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

from torch import nn

from ..errors import CaptureError, InputError
from ..wiring import Wiring, tensor_slots
from ..wiring.capture import capture
from ..wiring.collector import no_collections
from ..wiring.layouts import layout_size
from ..wiring.wiring import WiredCall
from ..wiring.wrapped import stored_bytes
from .cost import Cost
from .free_batch import with_floats
from .latency import latencies
from .macs import MACS, call_macs
from .peak import observed_peak, predicted_peak


@no_collections()
def measure(model: nn.Module, example_inputs: Any, *, latency: bool = False) -> Cost:
    """Parameters, multiply-accumulates, bytes and peak memory of a model; with ``latency`` also measured time.

    Args:
        model: any module; weights may be on ``meta`` when latency is not asked for.
        example_inputs: one call's inputs; MACs, peak memory and latency are those of this call.
        latency: measure the median milliseconds of a warm call on this machine.

    Returns:
        The cost. To compare two models' latency, measure them in turns with ``netsmith.costs.latencies``.

    Raises:
        InputError, CaptureError: the inputs do not fit the model.

    Example:
        >>> netsmith.measure(model, x).macs  # doctest: +SKIP
        1814073344
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model is a {type(model).__name__}; give a torch.nn.Module")
    floats = with_floats(model)
    try:
        captured = capture(floats, example_inputs, rules=None, lifetimes=True)
    except CaptureError:
        if any(p.is_meta for p in model.parameters()):
            raise
        captured = capture(floats, example_inputs, rules=None, fake=False, lifetimes=True)
    macs = sum(
        call_macs(call.name, call.input_shapes, call.output_shapes[0], call.note)
        for call in captured.recorder.calls
        if call.output_shapes
    )
    seen: set[int] = set()
    params = size = 0
    for slot in tensor_slots(model):
        if id(slot.tensor) not in seen:
            seen.add(id(slot.tensor))
            params += slot.tensor.numel() if isinstance(slot.tensor, nn.Parameter) else 0
            size += stored_bytes(slot.tensor)
    milliseconds = latencies([model], example_inputs)[0] if latency else None
    peak = None if captured.lifetimes is None else observed_peak(captured.lifetimes, size)
    return Cost(params=params, macs=macs, bytes=size, latency_ms=milliseconds, peak_bytes=peak)


def predict(wiring: Wiring, sizes: Mapping[str, int]) -> Cost:
    """Cost of the wired model if its axes had these sizes; exact but for latency, which is None."""
    cost = counted(wiring, sizes)
    return replace(cost, peak_bytes=predicted_peak(wiring, sizes, cost.bytes))


def counted(wiring: Wiring, sizes: Mapping[str, int]) -> Cost:
    """The same without peak memory; of a part of a wiring, too, as what it counts adds up over calls and tensors."""
    params = size = 0
    for name, tensor in wiring.tensors.items():
        elements = prod(layout_size(layout, sizes) for layout in wiring.layouts[name])
        params += elements if isinstance(tensor, nn.Parameter) else 0
        size += elements * tensor.element_size()
    macs = sum(_macs(call, sizes) for call in wiring.calls)
    return Cost(params=params, macs=macs, bytes=size)


def macs_of(wiring: Wiring, first_call: int, last_call: int) -> int:
    """Multiply-accumulates of a range of calls, inclusive."""
    return sum(_macs(call, wiring.sizes) for call in wiring.calls[first_call : last_call + 1])


def _macs(call: WiredCall, sizes: Mapping[str, int]) -> int:
    if call.name not in MACS or not call.outputs:
        return 0
    inputs = [tuple(layout_size(layout, sizes) for layout in dims) for dims in call.inputs]
    return call_macs(call.name, inputs, tuple(layout_size(layout, sizes) for layout in call.outputs[0]), call.note)
