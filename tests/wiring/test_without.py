"""A twin without blocks is compared call by call; whatever is otherwise is found."""

from __future__ import annotations

import torch
from torch import nn

import netsmith
from block_networks import Placed, images, stacked
from netsmith.wiring import Wiring
from netsmith.wiring.depth import renamed, shell, take_out
from netsmith.wiring.without import Gone, difference

X = torch.randn(2, 4)


def compared(model: nn.Module, x: torch.Tensor, path: str, module: nn.Module | None, stand_in: str = "") -> str | None:
    wiring = netsmith.trace(model, x)
    twin = shell(model)
    take_out(twin, {path: module})
    gone = [Gone(next(b for b in wiring.blocks if b.name == path), stand_in)]
    return difference(wiring, twin, gone, lambda name: renamed(name, [path] if module is None else []))


def test_a_deleted_item_and_an_identity() -> None:
    assert compared(stacked(), images(1), "blocks.1", None) is None
    assert compared(stacked(), images(1), "alone", nn.Identity()) is None
    assert compared(Placed(), X, "layers.0", None) is None  # it read the model's input


def test_a_stand_in() -> None:
    assert compared(stacked(), images(1), "alone", nn.Conv2d(6, 6, 1), "conv2d") is None
    assert compared(stacked(), images(1), "alone", nn.Identity(), "conv2d") == "no conv2d in place of alone"


def test_what_is_otherwise_is_said() -> None:
    assert compared(Placed("indexed"), X, "layers.1", None) == "IndexError: index 2 is out of range"
    why = compared(Placed("peeking"), X, "layers.0", None)
    assert why is not None and why.endswith("reads something else than before")
    why = compared(stacked(), images(1), "alone", nn.ReLU())
    assert why == "mean in the model became relu"
    why = compared(Placed(), X, "layers.0", nn.Identity())  # it takes more arguments than an identity
    assert why is not None and "TypeError" in why


def test_what_nothing_reads_need_not_be_the_same() -> None:
    class Masks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            masks = [torch.full((4,), float(i)) for i in range(len(self.layers))]
            for layer, mask in zip(self.layers, masks, strict=True):
                x = x + layer(x + mask)
            return x

    class Layers(Masks):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                x = x + layer(x)
            return x

    class Summed(Layers):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x.sum()
            return super().forward(x)

    assert difference(netsmith.trace(Layers(), X), Summed(), [], lambda name: name) is None
    assert difference(netsmith.trace(Summed(), X), Layers(), [], lambda name: name) is None
    assert difference(netsmith.trace(Masks(), X), Layers(), [], lambda name: name) is not None


def test_a_model_that_calls_more_or_less() -> None:
    model = stacked()
    wiring = netsmith.trace(model, images(1))

    def against(twin: nn.Module, wiring: Wiring = wiring) -> str | None:
        return difference(wiring, twin, [], lambda name: name)

    assert against(shell(model)) is None
    longer = shell(model)
    longer.fc = nn.Sequential(model.fc, nn.ReLU())  # type: ignore[assignment]
    assert against(longer) is not None
    swapped = shell(model)
    blocks = swapped.blocks._modules
    blocks["0"], blocks["1"] = blocks["1"], blocks["0"]
    assert against(swapped) is None  # by name they are where they were: only values differ
