"""Normalizations; equal to the zeroed original once their statistics are held."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from wiring.rules.exercise import Case, exercise


def batch_norm(
    x: torch.Tensor, mean: torch.Tensor, var: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    return F.batch_norm(x, mean, var.exp(), weight, bias)


CASES = [
    Case("batch_norm", batch_norm, ((2, 6, 4), (6,), (6,), (6,), (6,)), 3),
    Case("instance_norm", lambda x, w, b: F.instance_norm(x, weight=w, bias=b), ((2, 6, 8), (6,), (6,)), 3),
    Case("layer_norm", lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b), ((2, 4, 6), (6,), (6,)), 3),
    Case("layer_norm", lambda x, w: F.layer_norm(x, w.shape, w), ((2, 4, 6), (4, 6)), 3, label="two dimensions"),
    Case("layer_norm", lambda x: F.layer_norm(x, (6,)), ((2, 6),), 1, label="written in the code"),
    Case("rms_norm", lambda x, w: F.rms_norm(x, (x.shape[-1],), w), ((2, 4, 6), (6,)), 3),
    Case("group_norm", lambda x, w, b: F.group_norm(x, 1, w, b), ((2, 6, 8), (6,), (6,)), 3, label="one group"),
    Case("group_norm", lambda x, w, b: F.group_norm(x, 2, w, b), ((2, 8, 6), (8,), (8,)), 3, label="in the code"),
    Case("group_norm", lambda x, g: F.group_norm(x, g.shape[0]), ((2, 16, 6), (4,)), 5, 3, label="groups free"),
    Case("_weight_norm", lambda v, g: torch._weight_norm(v, g, 0), ((4, 6), (4, 1)), 2),
    Case("avg_pool2d", lambda x: F.local_response_norm(x, 2), ((2, 6, 4),), 1, label="local_response_norm"),
]


def test_norms() -> None:
    exercise(CASES)
