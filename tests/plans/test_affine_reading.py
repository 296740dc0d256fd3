"""What forwards compute is read from their calls; what is no map is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netsmith.plans.affine import NotAffine
from netsmith.plans.affine_reading import read_affine


class Own(nn.Module):
    """A layer that is of none of torch's classes."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form, self.gamma, self.count = form, nn.Parameter(torch.tensor([2.0, 3.0])), nn.Buffer(torch.zeros(2))
        self.matrix = nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "scale and shift":
            return 0 + F.linear(x, self.matrix) * self.gamma.exp() - self.gamma
        if self.form == "frozen norm":
            return x * self.gamma[:, None, None].rsqrt() + 1.0
        if self.form == "shortcut":
            return x + F.linear(x, self.matrix)
        if self.form == "gate":
            return F.linear(x, self.matrix) * x
        if self.form == "bend":
            return F.linear(x, self.matrix).relu()
        if self.form == "counting":
            self.count.add_(1)
            return F.linear(x, self.matrix)
        return F.linear(x, self.matrix) * torch.ones(5, 1)


def test_maps_are_read_whatever_the_class() -> None:
    x = torch.randn(5, 2, dtype=torch.float64)
    for form in ("scale and shift", "shortcut"):
        layer = Own(form)
        found = read_affine([layer], (5, 2)).map
        torch.testing.assert_close(F.linear(x, found.weight, found.bias), layer.double()(x))
    image = torch.randn(1, 2, 3, 3, dtype=torch.float64)
    layer = Own("frozen norm")
    found = read_affine([layer], image.shape).map
    assert found.is_diagonal
    made = F.conv2d(image, found.weight, found.bias, groups=2)
    torch.testing.assert_close(made, layer(image.float()).double(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("form", "why"), [("gate", "product of two"), ("bend", "calls relu"), ("rows", "more than the channels")]
)
def test_what_is_no_map_is_refused(form: str, why: str) -> None:
    with pytest.raises(NotAffine, match=why):
        read_affine([Own(form)], (5, 2))


def test_reading_changes_nothing() -> None:
    layer = Own("counting").train()
    with pytest.raises(NotAffine, match="add_ overwrites"):
        read_affine([layer], (5, 2))
    assert float(layer.count.sum()) == 0 and layer.training
    norm = nn.BatchNorm2d(2)
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    read_affine([norm], (2, 2, 4, 4))
    assert norm.training and all(torch.equal(before[name], tensor) for name, tensor in norm.state_dict().items())


def test_costs_and_meta() -> None:
    conv, norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
    found = read_affine([conv, norm], (2, 3, 10, 10))
    assert found.names == ("conv2d", "batch_norm") and found.shape == (2, 8, 10, 10)
    assert (found.macs, found.merged_macs) == (27 * 800 + 800, 27 * 800)
    assert read_affine([conv.to("meta"), norm.to("meta")], (2, 3, 10, 10)).map.weight.is_meta
