"""Recurrent layers: hidden units of every gate, layer and direction."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from wiring.rules.exercise import Case, exercise


def cell(name: str, both: bool) -> Callable:
    """One layer; the input's width and the hidden units are free."""

    def call(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        hidden = weights[1].shape[1]
        start = x.new_zeros(1 + both, x.shape[1], hidden)
        states = (start, start) if name == "lstm" else start
        out = getattr(torch, name)(x, states, list(weights), True, 1, 0.0, False, both, False)
        return out if not both else out[0]  # the states of two directions are not told apart

    return call


def shapes(gates: int, both: bool) -> tuple[tuple[int, ...], ...]:
    one = ((gates * 8, 6), (gates * 8, 8), (gates * 8,), (gates * 8,))
    return ((5, 2, 6), *one, *(one if both else ()))


CASES = [Case(name, cell(name, False), shapes(gates, False), 3) for name, gates in (("lstm", 4), ("gru", 3))]
CASES += [Case(name, cell(name, False), shapes(1, False), 3) for name in ("rnn_tanh", "rnn_relu")]
CASES += [
    Case(name, cell(name, True), shapes(gates, True), 4, label="both ways") for name, gates in (("lstm", 4), ("gru", 3))
]


def step(name: str) -> Callable:
    """One step of one layer."""

    def call(x: torch.Tensor, h: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        return getattr(torch, name)(x, (h, h * 2) if name == "lstm_cell" else h, *weights)

    return call


CASES += [
    Case(name, step(name), ((2, 6), (2, 8), *shapes(gates, False)[1:]), 3)
    for name, gates in (("lstm_cell", 4), ("gru_cell", 3), ("rnn_tanh_cell", 1), ("rnn_relu_cell", 1))
]


def test_recurrent() -> None:
    exercise(CASES)


def layers(both: bool, start: bool) -> Callable:
    """Two layers, or one both ways: all that torch gives, the last states too."""

    def call(x: torch.Tensor, first: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        given = first if start else x.new_zeros(2, x.shape[1], weights[1].shape[1])
        return torch.gru(x, given, list(weights), True, 1 if both else 2, 0.0, False, both, False)

    return call


def stacked(both: bool) -> tuple[tuple[int, ...], ...]:
    second = ((24, 6 if both else 8), (24, 8), (24,), (24,))
    return ((5, 3, 6), (2, 3, 8), *shapes(3, False)[1:], *second)


@pytest.mark.parametrize("both", [False, True], ids=["two layers", "both ways"])
def test_the_last_states_of_several_cells_keep_their_units(both: bool) -> None:
    """They lie over each other in one dimension, and each cell has units of its own: batch and input stay free.

    So do the three dimensions of the start, which is not given here.
    """
    exercise([Case("gru", layers(both, False), stacked(both), 5)])


@pytest.mark.parametrize("both", [False, True], ids=["two layers", "both ways"])
def test_a_learned_start_ties_the_units_of_all_cells(both: bool) -> None:
    function = layers(both, True)
    exercise([Case("gru", lambda *tensors: function(*tensors)[0], stacked(both), 3)])
