"""Images are laid out channels last where forward takes them so, and stay as they are elsewhere."""

from __future__ import annotations

import torch
from torch import nn

from netsmith.evidence.formats import channels_last


class Viewing(nn.Module):
    """Fails on channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).view(len(x), -1)


class Striding(nn.Module):
    """Looks at memory: other values channels last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x.stride(1)


def images() -> list[torch.Tensor]:
    return [torch.randn(2, 3, 8, 8) for _ in range(2)]


def is_channels_last(x: torch.Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


def test_values_stay_and_only_the_layout_changes() -> None:
    model, given = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()).train(), images()
    state = torch.get_rng_state()
    found = channels_last(model, given)
    assert all(torch.equal(a, b) and is_channels_last(b) for a, b in zip(given, found, strict=True))
    assert not any(map(is_channels_last, given))
    assert model.training and torch.equal(state, torch.get_rng_state())


def test_a_forward_that_fails_or_differs_gets_what_was_given() -> None:
    for model in (Viewing(), Striding()):
        assert not any(map(is_channels_last, channels_last(model, images())))


def test_what_holds_no_images_is_passed_on() -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise AssertionError("not to be run")

    batch = {"x": torch.randn(2, 5), "n": torch.ones(2, 3, 4, 4, dtype=torch.long)}
    (found,) = channels_last(Broken(), [batch])
    assert found is batch


def test_images_among_other_inputs() -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)) + n[:, None]

    (found,) = channels_last(Two(), [{"x": torch.randn(2, 3, 4, 4), "n": torch.ones(2)}])
    assert is_channels_last(found["x"])
