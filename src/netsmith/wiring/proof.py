"""Runs a twin with other widths and compares every call with what the wiring promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from .capture import Capture, Resize, capture, resized
from .collector import no_collections
from .layouts import Layout, axis_names, layout_size
from .wiring import WiredCall, Wiring


@dataclass(frozen=True)
class Divergence:
    """The first call that did not do as promised, and the changed axes that meet there."""

    axes: frozenset[str]
    why: str


def resize_of(wiring: Wiring, sizes: Mapping[str, int], attributes: Mapping[str, int]) -> Resize:
    """New tensor shapes and attribute values; only what differs."""
    shapes = {}
    for name, layouts in wiring.layouts.items():
        shape = tuple(layout_size(layout, sizes) for layout in layouts)
        if shape != tuple(wiring.tensors[name].shape):
            shapes[name] = shape
    changed = {key: value for key, value in attributes.items() if value != wiring.attributes[key]}
    return Resize(shapes, changed)


def resized_copy(wiring: Wiring, sizes: Mapping[str, int], attributes: Mapping[str, int]) -> nn.Module:
    """A real model of the new widths with arbitrary units: good for measuring time, not for predictions."""
    model = resized(wiring.model, resize_of(wiring, sizes, attributes))
    made: dict[int, nn.Parameter] = {}  # tied ones stay tied
    for module in model.modules():
        for key, tensor in module._parameters.items():
            if tensor is not None and not isinstance(tensor, nn.Parameter):  # exports want parameters
                made.setdefault(id(tensor), nn.Parameter(tensor.detach(), requires_grad=False))
                module._parameters[key] = made[id(tensor)]
    return model


@no_collections()
def replay(wiring: Wiring, sizes: Mapping[str, int], attributes: Mapping[str, int]) -> Divergence | None:
    """None when a model of the new sizes does call by call what the wiring promises.

    Args:
        wiring: of the original model.
        sizes: new size of every axis.
        attributes: new value of every attribute.
    """
    run = capture(
        wiring.model, wiring.example_inputs, rules=None, resize=resize_of(wiring, sizes, attributes), fake=wiring.fake
    )
    changed = frozenset(name for name, size in sizes.items() if size != wiring.sizes[name])
    return _compare(wiring, run, sizes, changed)


def _compare(wiring: Wiring, run: Capture, sizes: Mapping[str, int], changed: frozenset[str]) -> Divergence | None:
    done = run.recorder.calls
    for index, (got, promised) in enumerate(zip(done, wiring.calls, strict=False)):
        if got.name != promised.name:
            if not wiring.fake:
                return None  # control flow followed the values; what came before was as promised
            return blame(wiring, changed, index, f"{promised.name} became {got.name}")
        for shape, layouts in zip(got.output_shapes, promised.outputs, strict=False):
            wrong = _wrong_dims(shape, layouts, sizes, changed if not wiring.fake else None)
            if wrong:
                here = frozenset(n for layout in wrong for n in axis_names(layout)) & changed
                expected = tuple(layout_size(layout, sizes) for layout in layouts)
                why = f"{promised.name} in {promised.module or 'the model'} gave {shape}, not {expected}"
                return Divergence(here, why) if here else blame(wiring, changed, index, why)
    if run.error is not None:
        text = str(run.error).strip().splitlines()
        return blame(wiring, changed, len(done), f"{type(run.error).__name__}: {text[0][:200] if text else ''}")
    for shape, layouts in zip(run.output_shapes, wiring.outputs, strict=False):
        if wiring.fake and _wrong_dims(shape, layouts, sizes, None):
            return blame(wiring, changed, len(wiring.calls) - 1, f"the model's output has shape {shape}")
    return None


def _wrong_dims(
    shape: tuple[int, ...], layouts: tuple[Layout, ...], sizes: Mapping[str, int], only: frozenset[str] | None
) -> list[Layout]:
    """Layouts whose promised size is not the one found; ``only``: look at dimensions with one of these axes."""
    if len(shape) != len(layouts):
        return list(layouts)
    wrong = [layout for size, layout in zip(shape, layouts, strict=True) if size != layout_size(layout, sizes)]
    return wrong if only is None else [layout for layout in wrong if only & set(axis_names(layout))]


def blame(wiring: Wiring, changed: frozenset[str], index: int, why: str) -> Divergence:
    """The changed axes at a call, or at the nearest call before it that has any."""
    for call in reversed(wiring.calls[: index + 1]):
        met = _axes_at(call) & changed
        if met:
            return Divergence(frozenset(met), f"{why} (call {index}, {call.module or 'the model'})")
    return Divergence(changed, why)


def _axes_at(call: WiredCall) -> set[str]:
    return {name for group in (*call.inputs, *call.outputs) for layout in group for name in axis_names(layout)}
