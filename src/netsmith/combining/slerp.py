"""Spherical interpolation between two models."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import InputError
from .chunks import Chunks, Kernel, Method, merged

_PARALLEL = 0.9995  # cosine beyond which the arc is a line
_NOTHING = 1e-8  # norm below which a tensor has no direction


def slerp(a: Tensor, b: Tensor, t: float = 0.5) -> Tensor:
    """The point at t on the arc from a to b, both seen as one long vector.

    With θ the angle between them: sin((1-t)·θ)/sin θ · a + sin(t·θ)/sin θ · b; a straight line where |cos θ| > 0.9995.

    Args:
        a, b: of one shape and of floating point.
        t: 0 gives a, 1 gives b.

    Returns:
        A tensor of a's dtype, computed in float32 (float64 for float64).

    Raises:
        InputError: tensors that do not fit each other, or a t that is no finite number.

    Source: Shoemake, SIGGRAPH 1985; constants as in mergekit's ``slerp``.
    """
    return merged(slerping(t), [a, b])


def slerping(t: float) -> Method:
    """``slerp`` as a method."""
    if not math.isfinite(t):
        raise InputError(f"slerp needs a finite t between 0 (the first) and 1 (the second), not {t}")

    def prepare(chunks: Chunks) -> tuple[Chunks, Kernel]:
        if len(chunks.sources) != 2:
            raise InputError(f"slerp joins two models, not {len(chunks.sources)}")
        first, second = _shares(chunks, t)

        def kernel(chunk: list[Tensor]) -> Tensor:
            result = chunk[0].to(chunks.work, copy=True).mul_(first)
            return result.add_(chunk[1].to(chunks.work), alpha=second)

        return chunks, kernel

    return prepare


def _shares(chunks: Chunks, t: float) -> tuple[float, float]:
    """By what to multiply the two."""
    products = torch.zeros(3, dtype=torch.float64)
    for chunk in chunks:
        a, b = (x.to(chunks.work) for x in chunk)
        products += torch.stack([a.dot(b), a.dot(a), b.dot(b)]).cpu()
    dot, square_a, square_b = products.tolist()
    norm_a, norm_b = math.sqrt(square_a), math.sqrt(square_b)
    cosine = dot / ((norm_a if norm_a > _NOTHING else 1.0) * (norm_b if norm_b > _NOTHING else 1.0))
    if not abs(cosine) <= _PARALLEL:  # NaN goes this way too, and shows in the result
        return 1.0 - t, t
    angle = math.acos(cosine)
    return math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
