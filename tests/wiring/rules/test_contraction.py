"""Contractions: every letter of an einsum, every axis of a convolution, its groups, attention heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from wiring.rules.exercise import Case, exercise

Tensor = torch.Tensor


def grouped(function: Callable, **options: Any) -> Callable:
    """The number of groups is read from a tensor's own size, so that it may change."""

    def call(x: Tensor, weight: Tensor, groups: Tensor) -> Tensor:
        return function(x, weight, groups=groups.shape[0], **options)

    return call


def equation(text: str) -> Callable:
    return lambda *tensors: torch.einsum(text, *tensors)


CASES = [
    Case("linear", F.linear, ((2, 4, 6), (8, 6), (8,)), 4),
    Case("linear", lambda x, w: F.linear(x, w), ((4, 6), (6,)), 2, label="vector"),
    Case("conv1d", F.conv1d, ((2, 6, 9), (8, 6, 3), (8,)), 3),
    Case("conv2d", lambda x, w, b: F.conv2d(x, w, b, 2, 1), ((2, 6, 7, 9), (8, 6, 3, 3), (8,)), 3),
    Case("conv2d", F.conv2d, ((2, 6, 4, 10), (8, 6, 1, 1)), 5, label="1x1"),
    Case("conv3d", F.conv3d, ((2, 6, 4, 5, 7), (8, 6, 3, 3, 3)), 3),
    Case("conv2d", lambda x, w: F.conv2d(x, w, groups=2), ((2, 8, 5, 5), (12, 4, 3, 3)), 3, label="groups in the code"),
    Case("conv_transpose1d", F.conv_transpose1d, ((2, 6, 9), (6, 8, 3), (8,)), 3),
    Case("conv_transpose2d", lambda x, w, b: F.conv_transpose2d(x, w, b, 2), ((2, 6, 5, 5), (6, 8, 3, 3), (8,)), 3),
    Case("conv_transpose3d", F.conv_transpose3d, ((2, 6, 3, 3, 3), (6, 8, 3, 3, 3)), 3),
    Case(
        "conv_transpose2d",
        lambda x, w: F.conv_transpose2d(x, w, groups=2),
        ((2, 8, 5, 5), (8, 6, 3, 3)),
        3,
        label="groups in the code",
    ),
    Case("matmul", torch.matmul, ((2, 4, 6), (6, 8)), 4),
    Case("matmul", lambda a, b: a @ b, ((6,), (2, 6, 8)), 3, label="vector"),
    Case("matmul", lambda a, b: a @ b, ((2, 4, 6), (6,)), 3, label="by vector"),
    Case("matmul", torch.matmul, ((3, 1, 4, 6), (5, 6, 8)), 5, label="broadcast"),
    Case("bmm", torch.bmm, ((2, 4, 6), (2, 6, 8)), 4),
    Case("mm", torch.mm, ((4, 6), (6, 8)), 3),
    Case("mv", torch.mv, ((4, 6), (6,)), 2),
    Case("dot", torch.dot, ((6,), (6,)), 1),
    Case("vdot", torch.vdot, ((6,), (6,)), 1),
    Case("addmm", torch.addmm, ((8,), (4, 6), (6, 8)), 3),
    Case("baddbmm", torch.baddbmm, ((2, 4, 1), (2, 4, 6), (2, 6, 8)), 4),
    Case("addbmm", torch.addbmm, ((4, 8), (2, 4, 6), (2, 6, 8)), 4),
    Case("einsum", equation("btc,chd->bthd"), ((2, 6, 8), (8, 4, 10)), 5),
    Case("einsum", equation("...c,cd"), ((2, 6, 8), (8, 4)), 4, label="implicit"),
    Case("einsum", equation("...ij , ...jk -> ...ik"), ((2, 3, 4, 6), (3, 6, 8)), 5, label="broadcast"),
    Case("einsum", equation("ii->i"), ((6, 6),), 1, label="diagonal"),
    Case("einsum", lambda a, b: torch.einsum("ij,jk->ik", [a, b]), ((4, 6), (6, 8)), 3, label="list"),
    Case(
        "scaled_dot_product_attention",
        F.scaled_dot_product_attention,
        ((2, 4, 6, 8), (2, 4, 10, 8), (2, 4, 10, 12)),
        6,
    ),
    Case(
        "scaled_dot_product_attention",
        lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, attn_mask=m, scale=0.5),
        ((2, 4, 6, 8), (2, 4, 10, 8), (2, 4, 10, 12), (6, 10)),
        6,
        label="mask",
    ),
    Case(
        "scaled_dot_product_attention",
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        ((2, 8, 6, 10), (2, 4, 6, 10), (2, 4, 6, 12)),
        7,
        6,
        label="grouped queries",
    ),
    Case("bilinear", F.bilinear, ((4, 6), (4, 8), (10, 6, 8), (10,)), 4),
    Case("inner", torch.inner, ((4, 6), (8, 6)), 3),
    Case("outer", torch.outer, ((4,), (6,)), 2),
    Case("ger", torch.ger, ((4,), (6,)), 2),
    Case("cdist", torch.cdist, ((2, 4, 6), (2, 5, 6)), 4),
    Case("cosine_similarity", F.cosine_similarity, ((4, 6), (4, 6)), 2),
    Case("cosine_similarity", lambda a, b: F.cosine_similarity(a, b, dim=-1), ((2, 4, 6), (6,)), 3, label="keyword"),
    Case("embedding", lambda w: F.embedding(torch.tensor([[0, 2], [3, 1]]), w), ((4, 6),), 1),
]


def test_contractions() -> None:
    exercise(CASES)
