"""A model's calls as a graph for TensorBoard, from its wiring: without TorchScript, and without running the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import missing_extra
from ..wiring import Wiring
from ..wiring.layouts import Layout, layout_size
from ..wiring.recorder import Origin

if TYPE_CHECKING:
    from tensorboard.compat.proto.graph_pb2 import GraphDef


def graph_of(wiring: Wiring) -> GraphDef:
    """One node a call, parameter and input, named after its module, so that TensorBoard folds modules up.

    Args:
        wiring: of the model; shapes on the edges are those of its example inputs.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """
    try:
        from tensorboard.compat.proto.graph_pb2 import GraphDef
        from tensorboard.compat.proto.versions_pb2 import VersionDef
    except ImportError as error:
        raise missing_extra("tensorboard", "tensorboard", "a TensorBoard") from error
    graph = GraphDef(versions=VersionDef(producer=22))
    names = {i: _scoped(call.module, f"{_last(call.name)}_{i}") for i, call in enumerate(wiring.calls)}
    slots = dict.fromkeys(o.name for call in wiring.calls for o in call.origins if o.kind == "slot")
    _node(graph, "input", "Placeholder", [], ())
    for slot in slots:
        _node(graph, _tensor(slot), "Parameter", [], (wiring.layouts.get(slot, ()),), wiring.sizes)
    for i, call in enumerate(wiring.calls):
        reads = dict.fromkeys(_source(origin, names) for origin in call.origins)
        _node(graph, names[i], _last(call.name), [name for name in reads if name], call.outputs, wiring.sizes)
    given = dict.fromkeys(_source(origin, names) for origin in wiring.output_origins)
    _node(graph, "output", "Output", [name for name in given if name], ())
    return graph


def _node(
    graph: GraphDef,
    name: str,
    op: str,
    reads: list[str],
    outputs: tuple[tuple[Layout, ...], ...],
    sizes: Mapping[str, int] | None = None,
) -> None:
    node = graph.node.add(name=name, op=op)
    node.input.extend(reads)
    for dims in outputs:
        shape = node.attr["_output_shapes"].list.shape.add()
        for layout in dims:
            shape.dim.add(size=layout_size(layout, sizes or {}))


def _source(origin: Origin, names: Mapping[int, str]) -> str:
    """The node that an argument comes from; "" for a constant."""
    if origin.kind == "call":
        return names[origin.call]
    return _tensor(origin.name) if origin.kind == "slot" else "input" if origin.kind == "input" else ""


def _tensor(name: str) -> str:
    module, _, last = name.rpartition(".")
    return _scoped(module, last)


def _scoped(module: str, name: str) -> str:
    return "/".join([*filter(None, module.split(".")), name])


def _last(function: str) -> str:
    """ "conv2d" of "torch.nn.functional.conv2d"."""
    return function.rpartition(".")[2] or function
