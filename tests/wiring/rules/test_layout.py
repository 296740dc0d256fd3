"""Rearrangements: views split axes, permutations carry them, sizes written in the code keep them."""

from __future__ import annotations

import torch

from wiring.rules.exercise import Case, exercise

T = torch.Tensor

CASES = [
    Case("view", lambda x: x.view(x.shape[0], -1), ((2, 6, 4),), 3, 2),
    Case("view", lambda x, h: x.view(x.shape[0], h.shape[0], -1), ((6, 32), (4,)), 4, 2, label="split"),
    Case("view", lambda x: x.view(-1, 8), ((2, 3, 8),), 2, 1, label="written in the code"),
    Case("reshape", lambda x: x.reshape(x.shape[0] * x.shape[1], x.shape[2]), ((2, 6, 4),), 3, 2),
    Case("view_as", lambda x, y: x.view_as(y), ((4, 12), (4, 3, 4)), 3, 2),
    Case("reshape_as", lambda x, y: x.reshape_as(y), ((4, 12), (4, 3, 4)), 3, 2),
    Case("_unsafe_view", lambda x: torch.ops.aten._unsafe_view(x, [x.shape[0], -1]), ((2, 6, 4),), 3, 2),
    Case("flatten", lambda x: x.flatten(1), ((2, 6, 4),), 3, 2),
    Case("flatten", lambda x: torch.flatten(x, start_dim=-2), ((2, 6, 4),), 3, 2, label="by keyword"),
    Case("ravel", lambda x: x.ravel(), ((4, 6),), 2, 1),
    Case("unflatten", lambda x, h: x.unflatten(1, (h.shape[0], -1)), ((2, 24), (4,)), 4, 2),
    Case("unflatten", lambda x: x.unflatten(-1, (4, 6)), ((2, 24),), 1, label="written in the code"),
    Case("permute", lambda x: x.permute(2, 0, 1), ((2, 6, 4),), 3),
    Case("permute", lambda x: x.permute((0, -1, 1)), ((2, 6, 4),), 3, label="tuple"),
    Case("transpose", lambda x: x.transpose(1, -1), ((2, 6, 4),), 3),
    Case("swapaxes", lambda x: x.swapaxes(0, 1), ((2, 6, 4),), 3),
    Case("swapdims", lambda x: x.swapdims(0, 1), ((2, 6, 4),), 3),
    Case("movedim", lambda x: x.movedim(0, -1), ((2, 6, 4),), 3),
    Case("movedim", lambda x: x.movedim((0, 1), (2, 0)), ((2, 6, 4),), 3, label="two"),
    Case("moveaxis", lambda x: x.moveaxis(1, 0), ((2, 6, 4),), 3),
    Case("t", lambda x: x.t(), ((4, 6),), 2),
    Case("T.get", lambda x: x.T, ((4, 6),), 2),
    Case("mT.get", lambda x: x.mT, ((2, 4, 6),), 3),
    Case("H.get", lambda x: x.H, ((4, 6),), 2),
    Case("adjoint", lambda x: x.adjoint(), ((2, 4, 6),), 3),
    Case("squeeze", lambda x: x.squeeze(), ((4, 1, 6, 1),), 2),
    Case("squeeze", lambda x: x.squeeze(1), ((4, 1, 6, 1),), 2, label="one"),
    Case("unsqueeze", lambda x: x.unsqueeze(1), ((4, 6),), 2),
    Case("unsqueeze", lambda x: x.unsqueeze(-1), ((4, 6),), 2, label="at the end"),
    Case("expand", lambda x, y: x.expand(y.shape[0], -1), ((6,), (4,)), 2),
    Case("expand", lambda x: x.expand(3, 4, 6), ((1, 6),), 0, label="written in the code"),
    Case("broadcast_to", lambda x, y: torch.broadcast_to(x, (y.shape[0], x.shape[0])), ((6,), (4,)), 2),
    Case("expand_as", lambda x, y: x.expand_as(y), ((1, 6), (4, 6)), 2),
    Case("broadcast_tensors", lambda x, y: torch.broadcast_tensors(x, y), ((4, 1), (6,)), 2),
    Case("repeat", lambda x: x.repeat(2, 3), ((4, 6),), 2),
    Case("repeat", lambda x: x.repeat(3, 1, 1), ((4, 6),), 2, label="in front"),
    Case("tile", lambda x: x.tile(2), ((4, 6),), 2),
    Case("repeat_interleave", lambda x: x.repeat_interleave(2, 1), ((4, 6),), 2),
    Case("roll", lambda x: x.roll(1, 1), ((4, 6),), 1),
    Case("roll", lambda x: x.roll(1), ((4, 6),), 0, label="flattened"),
    Case("flip", lambda x: x.flip(0), ((4, 6),), 1),
    Case("flip", lambda x: x.flip((0, 1)), ((4, 6),), 0, label="both"),
    Case("fliplr", lambda x: x.fliplr(), ((4, 6),), 1),
    Case("flipud", lambda x: x.flipud(), ((4, 6),), 1),
]


def test_layouts() -> None:
    exercise(CASES)
