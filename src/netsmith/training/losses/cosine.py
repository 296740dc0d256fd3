"""Embeddings: the direction counts, not the length."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import cosine_similarity


def cosine(student: Tensor, teacher: Tensor, y: Any = None) -> Tensor:
    """1 − cosine of the angle between the student's and the teacher's embedding, mean over the examples.

    Args:
        student, teacher: (..., width), of equal width.
        y: not looked at.

    Returns:
        Scalar in [0, 2].

    Source: Reimers & Gurevych, EMNLP 2020, arXiv:2004.09813, who take the squared distance; of unit vectors that is
    twice this.
    """
    return 1 - cosine_similarity(student, teacher, dim=-1).mean()
