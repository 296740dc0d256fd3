"""Growing networks of the libraries: all widths and one block, no setting for any of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import netsmith
from netsmith.plans import plan_growth

timm = pytest.importorskip("timm")
models = pytest.importorskip("torchvision.models")

VIT = {"img_size": 32, "depth": 2, "embed_dim": 24, "num_heads": 3, "num_classes": 5, "patch_size": 16}
CONVNEXT = {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32), "num_classes": 5}
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet": lambda: models.ResNet(models.resnet.BasicBlock, [1, 2, 1, 1], num_classes=5),
    "vit": lambda: timm.models.VisionTransformer(**VIT),
    "convnext": lambda: timm.models.ConvNeXt(**CONVNEXT),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_wider_and_deeper(name: str) -> None:
    torch.manual_seed(0)
    model, x = NETWORKS[name]().eval(), torch.randn(1, 3, 32, 32)
    plan = plan_growth(netsmith.trace(model, x), widen={"*": 1.5}, deepen=1)
    assert plan.left == {}
    grown = netsmith.apply(model, plan)
    before, after = (sum(p.numel() for p in m.parameters()) for m in (model, grown))
    assert after > 1.8 * before
    assert torch.allclose(grown(x), model(x), rtol=1e-4, atol=1e-5)
    found = next(check for check in netsmith.verify(model, grown, plan, x).checks if check.name == "outputs")
    assert found.status == "exact" and "in float64" in found.detail
