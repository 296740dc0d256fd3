"""Language models: the divergence of the next token's probabilities, token by token."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from .softened import check_temperature


def tokens(student: Tensor, teacher: Tensor, y: Any = None, *, temperature: float = 1.0, ignore: int = -100) -> Tensor:
    """T² · KL(teacher ‖ student) over the vocabulary, mean over the tokens that count.

    Args:
        student, teacher: (examples, positions, vocabulary) scores.
        y: (examples, positions) labels; a token whose label is ``ignore`` does not count. None: all count.
        temperature: T > 0.
        ignore: marks padding; -100 as in transformers and in ``cross_entropy``.

    Returns:
        Scalar ≥ 0, nats a token; 0 where no token counts.

    Source: Sanh et al. 2019, arXiv:1910.01108.
    """
    check_temperature(temperature)
    ours = log_softmax(student / temperature, dim=-1)
    theirs = log_softmax(teacher / temperature, dim=-1)
    each = kl_div(ours, theirs, reduction="none", log_target=True).sum(-1)
    if not isinstance(y, Tensor) or y.shape != each.shape:
        return temperature**2 * each.mean()
    counts = y != ignore
    return temperature**2 * (each * counts).sum() / counts.sum().clamp_min(1)
