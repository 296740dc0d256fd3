"""Model Stock: how far to go from the base to the average, from the angle between the models."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError
from .chunks import Chunks, Kernel, Method, merged

_TINY = 1e-6


def model_stock(base: Tensor, tensors: Sequence[Tensor]) -> Tensor:
    """t · mean of the models + (1 - t) · base, with t = N·cos θ / (1 + (N - 1)·cos θ).

    cos θ is the mean cosine between the differences of two models from the base, over the whole tensor.

    Args:
        base: what the models were trained from.
        tensors: of at least two models, of the base's shape.

    Returns:
        A tensor of the base's dtype, computed in float32 (float64 for float64).

    Raises:
        InputError: fewer than two models, or tensors that do not fit each other.

    Source: Jang et al., ECCV 2024, arXiv:2403.19522; constants as in mergekit's ``model_stock``.
    """
    return merged(stocking(), [base, *tensors])


def stocking() -> Method:
    """``model_stock`` as a method."""

    def prepare(chunks: Chunks) -> tuple[Chunks, Kernel]:
        count = len(chunks.sources) - 1
        if count < 2:
            raise InputError(f"model_stock needs a base and at least two models, not {count}")
        share = _share(chunks, count)

        def kernel(chunk: list[Tensor]) -> Tensor:
            result = chunk[0].to(chunks.work, copy=True).mul_(1 - share)
            for x in chunk[1:]:
                result.add_(x.to(chunks.work), alpha=share / count)
            return result

        return chunks, kernel

    return prepare


def _share(chunks: Chunks, count: int) -> float:
    products = torch.zeros(count, count, dtype=torch.float64)
    for chunk in chunks:
        base = chunk[0].to(chunks.work)
        deltas = torch.stack([x.to(chunks.work).sub(base) for x in chunk[1:]])
        products += (deltas @ deltas.T).cpu()
    norms = products.diagonal().clamp_min(0).sqrt().tolist()
    cosines = [
        max(-1.0, min(1.0, float(products[i, j]) / max(norms[i] * norms[j], _TINY)))
        for i in range(count)
        for j in range(i + 1, count)
    ]
    cosine = math.fsum(cosines) / len(cosines)
    below = 1 + (count - 1) * cosine
    return 0.0 if abs(below) < _TINY else count * cosine / below
