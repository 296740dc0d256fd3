"""Every function in the table against torch's own flop counter, or by hand where that counts nothing."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from netsmith.costs import measure
from netsmith.costs.macs import MACS, call_macs


class Call(nn.Module):
    """One call as a model."""

    def __init__(self, function, *weights: torch.Tensor) -> None:
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(weights)

    def forward(self, *x):
        return self.function(*x, *self.weights)


def macs(function, inputs: tuple, *weights: torch.Tensor) -> int:
    return measure(Call(function, *weights), inputs).macs


def flops(function, inputs: tuple, *weights: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        Call(function, *weights)(*inputs)
    return counter.get_total_flops()


r = torch.randn

COUNTED = {
    "linear": (F.linear, (r(2, 5, 6),), r(7, 6), r(7)),
    "linear without bias": (F.linear, (r(4, 6),), r(7, 6)),
    "conv1d": (lambda x, w: F.conv1d(x, w, stride=2, padding=1), (r(2, 3, 9),), r(4, 3, 3)),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, dilation=2), (r(2, 4, 9, 8),), r(6, 4, 3, 2), r(6)),
    "conv2d grouped": (lambda x, w: F.conv2d(x, w, groups=2), (r(2, 4, 5, 5),), r(6, 2, 3, 3)),
    "conv2d depthwise": (lambda x, w: F.conv2d(x, w, groups=4), (r(2, 4, 5, 5),), r(4, 1, 3, 3)),
    "conv3d": (F.conv3d, (r(1, 2, 4, 4, 4),), r(3, 2, 2, 2, 2)),
    "conv_transpose1d": (lambda x, w: F.conv_transpose1d(x, w, stride=2), (r(2, 4, 5),), r(4, 6, 3)),
    "conv_transpose2d": (F.conv_transpose2d, (r(2, 4, 5, 5),), r(4, 6, 3, 3)),
    "conv_transpose2d grouped": (lambda x, w: F.conv_transpose2d(x, w, groups=2), (r(1, 4, 5, 5),), r(4, 3, 3, 3)),
    "conv_transpose3d": (F.conv_transpose3d, (r(1, 2, 3, 3, 3),), r(2, 3, 2, 2, 2)),
    "matmul": (torch.matmul, (r(2, 3, 4, 5), r(5, 6))),
    "matmul broadcast": (torch.matmul, (r(2, 1, 4, 5), r(3, 5, 6))),
    "__matmul__": (lambda x, y: x @ y, (r(4, 5), r(5, 6))),
    "bmm": (torch.bmm, (r(2, 4, 5), r(2, 5, 6))),
    "mm": (torch.mm, (r(4, 5), r(5, 6))),
    "addmm": (torch.addmm, (r(6), r(4, 5), r(5, 6))),
    "baddbmm": (torch.baddbmm, (r(2, 4, 6), r(2, 4, 5), r(2, 5, 6))),
    "einsum": (lambda x, y: torch.einsum("bij, jk -> bik", x, y), (r(2, 3, 4), r(4, 5))),
    "einsum with dots": (lambda x, y: torch.einsum("...ij,...jk->...ik", x, y), (r(2, 3, 4, 5), r(2, 3, 5, 6))),
    "einsum without arrow": (lambda x, y: torch.einsum("ij,jk", x, y), (r(3, 4), r(4, 5))),
    "einsum of a list": (lambda x, y: torch.einsum("ij,kj->ik", [x, y]), (r(3, 4), r(5, 4))),
    "tensordot": (lambda x, y: torch.tensordot(x, y, dims=2), (r(2, 3, 4), r(3, 4, 5))),
    "scaled_dot_product_attention": (F.scaled_dot_product_attention, (r(2, 3, 7, 4), r(2, 3, 5, 4), r(2, 3, 5, 6))),
}


@pytest.mark.parametrize("case", COUNTED)
def test_half_of_what_the_flop_counter_says(case: str) -> None:
    function, inputs, *weights = COUNTED[case]
    expected = flops(function, inputs, *weights)
    assert expected > 0
    assert 2 * macs(function, inputs, *weights) == expected


BY_HAND = {
    "mv": (torch.mv, (r(4, 5), r(5)), 20),
    "dot": (torch.dot, (r(5), r(5)), 5),
    "inner": (torch.inner, (r(3, 5), r(4, 5)), 60),
    "addmv": (torch.addmv, (r(4), r(4, 5), r(5)), 20),
    "addbmm": (torch.addbmm, (r(4, 6), r(3, 4, 5), r(3, 5, 6)), 3 * 4 * 5 * 6),
    "bilinear": (lambda x, y: F.bilinear(x, y, torch.ones(7, 3, 4)), (r(2, 3), r(2, 4)), 2 * 7 * (3 * 4 + 4)),
    "grouped-query attention": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        (r(1, 4, 7, 8), r(1, 2, 7, 8), r(1, 2, 7, 8)),
        2 * 4 * 7 * 7 * 8,
    ),
    "relu": (torch.relu, (r(5, 5),), 0),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_by_hand(case: str) -> None:
    function, inputs, expected = BY_HAND[case]
    assert macs(function, inputs) == expected


@pytest.mark.parametrize(
    ("layer", "gates", "directions"),
    [
        (nn.LSTM(5, 6, 2, bidirectional=True, batch_first=True), 4, 2),
        (nn.GRU(5, 6, 2, batch_first=True), 3, 1),
        (nn.RNN(5, 6, batch_first=True), 1, 1),
        (nn.RNN(5, 6, nonlinearity="relu", batch_first=True), 1, 1),
    ],
)
def test_recurrent_layers(layer: nn.RNNBase, gates: int, directions: int) -> None:
    per_step = gates * 6 * (5 + 6) + (layer.num_layers - 1) * gates * 6 * (6 * directions + 6)
    assert measure(layer, r(3, 7, 5)).macs == 3 * 7 * directions * per_step


@pytest.mark.parametrize(
    ("cell", "gates"),
    [(nn.LSTMCell(5, 6), 4), (nn.GRUCell(5, 6), 3), (nn.RNNCell(5, 6), 1), (nn.RNNCell(5, 6, nonlinearity="relu"), 1)],
)
def test_recurrent_cells(cell: nn.RNNCellBase, gates: int) -> None:
    assert measure(cell, r(3, 5)).macs == 3 * gates * 6 * (5 + 6)


def test_the_whole_table_is_tested() -> None:
    tested = {case.split()[0] for case in (*COUNTED, *BY_HAND)}
    recurrent = {"lstm", "gru", "rnn_tanh", "rnn_relu"}
    assert set(MACS) == tested - {"grouped-query", "relu"} | recurrent | {f"{name}_cell" for name in recurrent}


def test_other_functions_count_nothing() -> None:
    assert call_macs("layer_norm", [(2, 8), (8,), (8,)], (2, 8)) == 0
