"""Maps composed and added equal the layers run one after the other, borders included."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from netsmith.plans.affine import Affine, NotAffine, added, composed, diagonal, identity
from netsmith.plans.affine_reading import read_affine

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
FUNCTION: dict[int, Any] = {
    0: nn.functional.linear,
    1: nn.functional.conv1d,
    2: nn.functional.conv2d,
    3: nn.functional.conv3d,
}


def run(each: Affine, x: torch.Tensor) -> torch.Tensor:
    if not each.kernel:
        return FUNCTION[0](x, each.weight, each.bias)
    return FUNCTION[len(each.kernel)](x, each.weight, each.bias, each.stride, each.padding, each.dilation, each.groups)


def check(layers: list[nn.Module], *shape: int) -> Affine:
    """What is read of the layers does what they do."""
    for seed, layer in enumerate(layers):
        torch.manual_seed(seed)
        for name, tensor in layer.state_dict().items():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5) if "var" in name else tensor.normal_()
    found = read_affine(layers, shape)
    x = torch.randn(shape, dtype=torch.float64)
    expected = nn.Sequential(*layers).double().eval()(x)
    assert found.shape == expected.shape
    torch.testing.assert_close(run(found.map, x), expected, rtol=1e-9, atol=1e-9)
    return found.map


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"kernel_size": 3, "padding": 1}, {"kernel_size": 1}),
        ({"kernel_size": 3, "padding": 1, "stride": 2}, {"kernel_size": 3}),
        ({"kernel_size": 1, "bias": False}, {"kernel_size": 3, "padding": 1}),
        ({"kernel_size": 1, "stride": 2, "bias": False}, {"kernel_size": 3, "padding": 1, "stride": 2}),
        ({"kernel_size": 1}, {"kernel_size": 3}),
        ({"kernel_size": 2, "dilation": 2}, {"kernel_size": 2, "dilation": 3, "stride": 2}),
        ({"kernel_size": 3, "groups": 2, "padding": 2}, {"kernel_size": 3, "groups": 4}),
        ({"kernel_size": 3, "groups": 4, "padding": "same"}, {"kernel_size": 1}),
    ],
)
@pytest.mark.parametrize("spatial", [1, 2])
def test_convolutions_in_a_row(first: dict[str, Any], second: dict[str, Any], spatial: int) -> None:
    sizes = [11, 8, 9][:spatial]
    check([CONV[spatial](4, 8, **first), CONV[spatial](8, 4, **second)], 2, 4, *sizes)


def test_normalization_before_and_behind() -> None:
    norms = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
    for spatial in (1, 2, 3):
        sizes = [6, 5, 5][:spatial]
        check([CONV[spatial](4, 6, 3, padding=1, groups=2), norms[spatial](6)], 2, 4, *sizes)
        check([norms[spatial](4), CONV[spatial](4, 6, 3, groups=2)], 2, 4, *sizes)
    check([nn.Linear(4, 6), nn.BatchNorm1d(6, affine=False), nn.Linear(6, 3)], 2, 4)
    with pytest.raises(NotAffine, match="pads"):
        check([nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, padding=1)], 2, 4, 6, 6)
    with pytest.raises(NotAffine, match="different dimensions"):  # it normalizes positions, not features
        check([nn.Linear(4, 6), nn.BatchNorm1d(5)], 2, 5, 4)
    with pytest.raises(NotAffine, match="statistics of its input"):
        check([nn.BatchNorm2d(4, track_running_stats=False)], 2, 4, 6, 6)


def test_transposed_convolutions_take_what_is_behind_them() -> None:
    layers = [nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, output_padding=1), nn.BatchNorm2d(6)]
    torch.manual_seed(0)
    for tensor in layers[1].state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    found = read_affine(layers, (2, 4, 5, 5)).map
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    made = nn.functional.conv_transpose2d(
        x, found.weight, found.bias, found.stride, found.padding, found.output_padding, found.groups, found.dilation
    )
    torch.testing.assert_close(made, nn.Sequential(*layers).double().eval()(x), rtol=1e-9, atol=1e-9)
    with pytest.raises(NotAffine, match="transposed"):
        read_affine([layers[0], nn.Conv2d(6, 4, 1)], (2, 4, 5, 5))


def test_branches_are_aligned_by_their_centres() -> None:
    def conv(kernel: int, padding: int, groups: int, stride: int = 1) -> Affine:
        layer = nn.Conv2d(4, 4, kernel, padding=padding, groups=groups, stride=stride)
        return read_affine([layer], (1, 4, 9, 9)).map

    x = torch.randn(2, 4, 9, 9, dtype=torch.float64)
    ones = identity(4, 2, x.device)
    for left, right in [
        (conv(3, 1, 1), conv(1, 0, 1)),
        (conv(5, 2, 4), conv(3, 1, 2)),
        (ones, conv(3, 1, 2)),
        (conv(1, 0, 1, 2), conv(3, 1, 1, 2)),
    ]:
        torch.testing.assert_close(run(added(left, right), x), run(left, x) + run(right, x))
    for left, right in [(conv(3, 1, 1), conv(1, 0, 1, 2)), (conv(2, 0, 1), conv(3, 1, 1))]:
        with pytest.raises(NotAffine):
            added(left, right)


def test_zeros_around_an_input_stay_zeros_only_without_a_bias() -> None:
    padded = read_affine([nn.Conv2d(4, 4, 3, padding=1, bias=False)], (1, 4, 9, 9)).map
    scale = torch.rand(4)
    x = torch.randn(2, 4, 9, 9, dtype=torch.float64)
    both = composed(diagonal(scale, None, 2), padded)
    torch.testing.assert_close(run(both, x), run(padded, x * scale.double()[:, None, None]))
    with pytest.raises(NotAffine, match="pads"):
        composed(diagonal(scale, scale, 2), padded)
