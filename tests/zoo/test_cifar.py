"""The CIFAR ResNets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from netsmith.errors import InputError
from netsmith.zoo import cifar_resnet

TRAINED = Path(os.environ.get("NETSMITH_DATA", "/nowhere")) / "resnet-cifar10"


@pytest.mark.parametrize(("depth", "params"), [(20, 269_722), (56, 853_018)])
def test_sizes_are_the_published_ones(depth: int, params: int) -> None:
    """0.27 M and 0.85 M in table 6 of the paper."""
    assert sum(p.numel() for p in cifar_resnet(depth).parameters()) == params


def test_the_shortcut_subsamples_and_pads_channels_with_zeros() -> None:
    shortcut = cifar_resnet(20).layer2[0].shortcut
    x = torch.randn(2, 16, 8, 8)
    out = shortcut(x)
    assert out.shape == (2, 32, 4, 4)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert not out[:, :8].any()
    assert not out[:, 24:].any()


def test_depth_must_fit() -> None:
    with pytest.raises(InputError, match=r"depth must be 6·blocks \+ 2 .*not 18"):
        cifar_resnet(18)


@pytest.mark.skipif(not TRAINED.is_dir(), reason="NETSMITH_DATA does not name a folder with trained networks")
@pytest.mark.parametrize("depth", [20, 56])
def test_published_weights_load_strictly(depth: int) -> None:
    model = cifar_resnet(depth)
    model.load_state_dict(load_file(TRAINED / f"resnet{depth}-jpeg.safetensors"))
    assert model.eval()(torch.zeros(1, 3, 32, 32)).isfinite().all()
