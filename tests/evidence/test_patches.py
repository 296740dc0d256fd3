"""Rows times the weight matrix is the layer, whatever its settings."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from netsmith.evidence import Stop
from netsmith.evidence.patches import (
    groups_of,
    input_rows,
    matrix_weight,
    output_rows,
    row_count,
    weight_matrix,
)


def check(name: str, function, args: tuple, kwargs: dict, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    stop = Stop(0, name, function, args, kwargs)
    output = stop.run()
    groups = groups_of(stop)
    rows = torch.randperm(row_count(output, name), generator=torch.Generator().manual_seed(0))[:17]
    found = torch.einsum("ngd,gdm->ngm", input_rows(stop, rows), weight_matrix(weight, name, groups))
    if bias is not None:
        found = found + bias.reshape(groups, -1)
    assert torch.allclose(found, output_rows(output, name, rows, groups), atol=1e-9)
    assert torch.equal(matrix_weight(weight_matrix(weight, name, groups), weight, name), weight)


@st.composite
def convolutions(draw: st.DrawFn) -> dict:
    rank = draw(st.integers(1, 3))
    most = {1: 9, 2: 6, 3: 5}[rank]

    def each(low: int, high: int, plain: bool = True):
        """An int, a tuple of one, or a tuple of as many as dimensions."""
        value = draw(st.integers(low, high))
        form = draw(st.sampled_from(["int", "one", "each"] if plain else ["each"]))
        return (
            value
            if form == "int"
            else (value,)
            if form == "one"
            else tuple(draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank)))
        )

    kernel = each(1, 3, plain=False)
    padding = draw(st.one_of(st.sampled_from(["same", "valid"]), st.just(None)))
    padding = each(0, 2) if padding is None else padding
    stride = 1 if padding == "same" else each(1, 3)
    groups = draw(st.sampled_from([1, 2, 3]))
    return {
        "rank": rank,
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": each(1, 2),
        "groups": groups,
        "channels": groups * draw(st.integers(1, 2)),
        "out": groups * draw(st.integers(1, 3)),
        "size": draw(st.lists(st.integers(5, most), min_size=rank, max_size=rank)),
        "bias": draw(st.booleans()),
        "named": draw(st.booleans()),
    }


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@settings(max_examples=120, deadline=None, derandomize=True)
@given(convolutions())
def test_convolutions(c: dict) -> None:
    torch.manual_seed(0)
    name = f"conv{c['rank']}d"
    x = torch.randn(2, c["channels"], *c["size"], dtype=torch.float64)
    weight = torch.randn(c["out"], c["channels"] // c["groups"], *c["kernel"], dtype=torch.float64)
    bias = torch.randn(c["out"], dtype=torch.float64) if c["bias"] else None
    settings_ = {key: c[key] for key in ("stride", "padding", "dilation", "groups")}
    if c["named"]:
        args, kwargs = (x, weight, bias), settings_
    else:
        args, kwargs = (x, weight, bias, *settings_.values()), {}
    check(name, getattr(F, name), args, kwargs, weight, bias)


def test_a_convolution_called_by_names_alone() -> None:
    x, weight = torch.randn(2, 3, 5, 5).double(), torch.randn(4, 3, 3, 3).double()
    check("conv2d", F.conv2d, (), {"input": x, "weight": weight}, weight, None)


def test_a_channels_last_input() -> None:
    x = torch.randn(2, 3, 5, 5).double().to(memory_format=torch.channels_last)
    weight = torch.randn(4, 3, 3, 3).double()
    check("conv2d", F.conv2d, (x, weight), {"padding": 1}, weight, None)


@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 5, 6), (2, 3, 4, 6)])
@pytest.mark.parametrize("named", [False, True])
def test_linear(shape: tuple[int, ...], named: bool) -> None:
    x, weight, bias = torch.randn(shape).double(), torch.randn(7, 6).double(), torch.randn(7).double()
    if named:
        check("linear", F.linear, (), {"input": x, "weight": weight, "bias": bias}, weight, bias)
    else:
        check("linear", F.linear, (x, weight, bias), {}, weight, bias)


@pytest.mark.parametrize("named", [False, True])
def test_addmm(named: bool) -> None:
    x, weight, bias = torch.randn(9, 6).double(), torch.randn(6, 7).double(), torch.randn(7).double()
    args, kwargs = ((bias,), {"mat1": x, "mat2": weight}) if named else ((bias, x, weight), {})
    check("addmm", torch.addmm, args, kwargs, weight, bias)


def test_rows_are_counted_over_all_examples_and_positions() -> None:
    assert row_count(torch.ones(2, 5, 3, 4), "conv2d") == 24
    assert row_count(torch.ones(2, 5, 3), "linear") == 10
    assert row_count(torch.ones(7, 3), "addmm") == 7


def test_a_matrix_goes_back_in_the_weights_own_precision() -> None:
    weight = torch.randn(4, 3, 3, 3).half()
    matrix = weight_matrix(weight, "conv2d", 1)
    assert matrix.shape == (1, 27, 4)
    assert matrix_weight(matrix.double() * 2, weight, "conv2d").dtype == torch.float16
