"""Which modules are blocks, which have a shortcut, and which cannot be taken out."""

from __future__ import annotations

import torch

import netsmith
from block_networks import Placed, images, stacked
from netsmith.wiring.recorder import Origin
from small_networks import Residual


def test_blocks_of_a_residual_network() -> None:
    wiring = netsmith.trace(stacked(), images(1))
    blocks = {block.name: block for block in wiring.blocks}
    residual = [name for name, block in blocks.items() if block.residual]
    assert residual == ["blocks", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "alone"]
    assert all(blocks[name].kept is None for name in residual)
    assert "add" in wiring.calls[blocks["blocks.1"].result.call].name
    assert blocks["blocks.1"].entry == blocks["blocks.0"].result


def test_a_block_may_read_the_models_input() -> None:
    model = Placed()
    blocks = {b.name: b for b in netsmith.trace(model, torch.randn(2, 4)).blocks}
    assert blocks["layers.0"].entry == Origin("input") and blocks["layers.0"].kept is None
    assert blocks["layers.0"].residual


def test_a_block_whose_inside_is_read_must_stay() -> None:
    blocks = {b.name: b for b in netsmith.trace(Placed("peeking"), torch.randn(2, 4)).blocks}
    assert blocks["layers.0"].kept == "the model reads what its tanh computes"
    assert blocks["layers.1"].kept is None


class Mixed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Linear(3, 8)
        self.mlp = torch.nn.Sequential(torch.nn.Linear(8, 12), torch.nn.ReLU(), torch.nn.Linear(12, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        return (x + self.mlp(x)).mean(1)


def test_a_matrix_on_every_way_is_no_shortcut() -> None:
    blocks = netsmith.trace(Mixed(), torch.randn(2, 4, 3)).blocks
    assert [(b.name, b.residual) for b in blocks] == [("mlp", False)]


def test_a_gate_is_no_shortcut() -> None:
    class Gate(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.linear(x).sigmoid()

    model = Mixed()
    model.mlp = Gate()  # type: ignore[assignment]
    blocks = netsmith.trace(model, torch.randn(2, 4, 3)).blocks
    assert ("mlp", False) in [(b.name, b.residual) for b in blocks]


def test_no_block_without_equal_axes() -> None:
    model = Residual()
    assert [b.name for b in netsmith.trace(model, torch.randn(1, 3, 6, 6)).blocks] == []
