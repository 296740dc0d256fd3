"""The graph of calls."""

from __future__ import annotations

import pytest
import torch

import netsmith
from netsmith.zoo import digits_resnet

pytest.importorskip("tensorboard")


def test_every_call_is_a_node_inside_its_module_and_reads_nodes() -> None:
    from netsmith.reports.graph import graph_of

    wiring = netsmith.trace(digits_resnet(width=8), torch.randn(2, 1, 8, 8))
    graph = graph_of(wiring)
    nodes = {node.name: node for node in graph.node}
    assert len(nodes) == len(graph.node) > len(wiring.calls)
    assert all(name in nodes for node in graph.node for name in node.input)
    (first,) = [node for node in graph.node if "input" in node.input]
    assert first.op == "conv2d" and first.name.startswith("conv1/") and "conv1/weight" in first.input
    shape = [dim.size for dim in first.attr["_output_shapes"].list.shape[0].dim]
    assert shape == [2, 8, 8, 8]
    weight = nodes["conv1/weight"].attr["_output_shapes"].list.shape[0]
    assert [dim.size for dim in weight.dim] == [8, 1, 3, 3]
    (last,) = nodes["output"].input
    assert nodes[last].op == "linear"
