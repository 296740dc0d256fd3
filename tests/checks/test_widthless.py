"""Stand-ins that depend on what the units are and not on how many zeros stand beside them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from netsmith.checks.widthless import STAND_INS, widthless

KEPT = [0, 2, 3, 7]


def removed_and_zeroed(shape: tuple[int, ...], dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(without the removed units, with them at zero)."""
    full = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.zeros(shape[dim], dtype=torch.float64)
    mask[KEPT] = 1
    zeroed = full * mask.reshape([-1 if d == dim % len(shape) else 1 for d in range(len(shape))])
    return full.index_select(dim, torch.tensor(KEPT)), zeroed


weight, bias = torch.linspace(1, 2, 8, dtype=torch.float64), torch.linspace(-1, 1, 8, dtype=torch.float64)


def cut(parameter: torch.Tensor, width: int) -> torch.Tensor:
    return parameter if width == 8 else parameter[KEPT]


def silenced(parameter: torch.Tensor, width: int) -> torch.Tensor:
    """Of the removed units zero, as in the original with their weights at zero."""
    if width != 8:
        return parameter[KEPT]
    mask = torch.zeros_like(parameter)
    mask[KEPT] = 1
    return parameter * mask


# function of x whose last dimension is the width; True: that dimension is still there afterwards
OVER_LAST: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], bool]] = {
    "layer_norm": (lambda x: F.layer_norm(x, (x.shape[-1],)), True),
    "layer_norm with weights": (
        lambda x: F.layer_norm(x, (x.shape[-1],), silenced(weight, x.shape[-1]), silenced(bias, x.shape[-1])),
        True,
    ),
    "weight standardization": (
        lambda x: F.batch_norm(x.reshape(1, 15, -1), None, None, training=True).reshape(x.shape),
        True,
    ),
    "rms_norm": (lambda x: F.rms_norm(x, (x.shape[-1],), silenced(weight, x.shape[-1])), True),
    "mean": (lambda x: x.mean(-1), False),
    "mean by keyword": (lambda x: torch.mean(x, dim=-1, keepdim=True), False),
    "mean of all": (lambda x: x.mean(), False),
    "var": (lambda x: x.var(-1), False),
    "var without correction": (lambda x: x.var(-1, unbiased=False, keepdim=True), False),
    "std": (lambda x: torch.std(x, dim=-1), False),
    "hand-written normalization": (
        lambda x: x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt(),
        True,
    ),
    "scaled by a number of the width, inside a product": (
        lambda x: torch.baddbmm(torch.ones(1, 1, 1).to(x), x, x.mT, alpha=1 / x.shape[-1]),
        False,
    ),
    "scaled by a number of the width, as a tensor": (
        lambda x: (x @ x.mT) / torch.sqrt(torch.tensor(x.shape[-1], dtype=torch.float64)),
        False,
    ),
    "divided by a number of the width": (
        lambda x: (x / math.sqrt(x.shape[-1])) @ torch.ones(x.shape[-1], 1).double(),
        False,
    ),
    "sum": (lambda x: x.sum(-1), False),
    "normalize": (lambda x: F.normalize(x, dim=-1), True),
}


@pytest.mark.parametrize("case", OVER_LAST)
def test_zeros_beside_the_units_change_nothing(case: str) -> None:
    function, stays = OVER_LAST[case]
    small, zeroed = removed_and_zeroed((3, 5, 8), -1)
    with widthless():
        one, other = function(small), function(zeroed)
    if stays:
        other = other[..., KEPT]
    assert torch.isfinite(one).all()
    assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)
    if case not in ("sum", "normalize"):  # without the stand-ins it does
        plain = function(zeroed)[..., KEPT] if stays else function(zeroed)
        assert not torch.allclose(function(small), plain, rtol=1e-3)


def test_group_norm() -> None:
    small, zeroed = removed_and_zeroed((2, 8, 3, 3), 1)
    with widthless():
        one = F.group_norm(small, 1, silenced(weight, 4), silenced(bias, 4))
        other = F.group_norm(zeroed, 1, silenced(weight, 8), silenced(bias, 8))
    assert torch.allclose(one, other[:, KEPT], rtol=1e-10)


def test_attention_with_narrower_heads() -> None:
    small, zeroed = removed_and_zeroed((2, 3, 5, 8), -1)
    with widthless():
        one = F.scaled_dot_product_attention(small, small, small)
        other = F.scaled_dot_product_attention(zeroed, zeroed, zeroed)
        scaled = F.scaled_dot_product_attention(small, small, small, scale=1 / math.sqrt(4))
    assert torch.allclose(one, other[..., KEPT], rtol=1e-10)
    assert torch.allclose(one, scaled)  # a scale that was given may have been computed from the width


def test_a_stand_in_still_tells_units_apart() -> None:
    """A proof that any two networks agree would be worth nothing."""
    small, _ = removed_and_zeroed((3, 5, 8), -1)
    swapped = small[..., [1, 0, 2, 3]]
    for case, (function, stays) in OVER_LAST.items():
        if stays and "weights" not in case:
            with widthless():
                assert not torch.allclose(function(small), function(swapped)), case
    with widthless():
        one = F.layer_norm(small, (4,), cut(weight, 4), cut(bias, 4))
        other = F.layer_norm(small, (4,), cut(weight, 4).flip(0), cut(bias, 4))
        assert not torch.allclose(one, other)


def test_everything_is_as_before_afterwards() -> None:
    x = torch.randn(2, 8)
    expected = [F.layer_norm(x, (8,)), x.mean(-1), x * 2.0]
    with pytest.raises(ZeroDivisionError), widthless():
        assert not torch.allclose(x.mean(-1), expected[1])
        raise ZeroDivisionError
    assert all(torch.equal(a, b) for a, b in zip(expected, [F.layer_norm(x, (8,)), x.mean(-1), x * 2.0], strict=True))


def test_products_of_tensors_stay() -> None:
    x, y = torch.randn(3, 4), torch.randn(3, 4)
    expected = x * y
    with widthless():
        assert torch.equal(x * y, expected)
        assert torch.equal(x * 3.0, x)  # a number may have been computed from a width
        assert torch.equal(x * -1.0, -x)
        assert torch.equal(x * 0, torch.zeros_like(x))


def test_every_stand_in_is_named_after_a_torch_function() -> None:
    known = {*dir(torch), *dir(torch.nn.functional), *dir(torch.Tensor)}
    assert set(STAND_INS) <= known


def test_integers_are_not_scales() -> None:
    """Positions and buckets are integers times a number: a stand-in made them floats, and embedding refused them."""
    with widthless():
        assert (torch.arange(3) * 16).tolist() == [0, 16, 32]
        assert torch.tensor([4]).tolist() == [4] and torch.tensor(4, dtype=torch.long).item() == 4
