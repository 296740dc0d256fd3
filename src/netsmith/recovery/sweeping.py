"""Change a weight column by column, and let the columns to come make up for each change (optimal brain surgeon).

With G = E[x xᵀ] of the inputs, an error e in column i costs least if the later columns move by
-e · U[i, j] / U[i, i], where U is the upper Cholesky factor of (G + λI)⁻¹. GPTQ rounds, SparseGPT zeroes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

Choose = Callable[[int, torch.Tensor, torch.Tensor], Callable[[int, torch.Tensor], torch.Tensor]]
"""(first column, its block's values (rows, columns), U's diagonal there) -> (column, values) -> new values."""

_BLOCK = 128


def inverse_factor(gram: torch.Tensor, damping: float) -> torch.Tensor:
    """(n, n) float64: the upper Cholesky factor of the inverse of a damped Gram matrix.

    Args:
        gram: (n, n), E[x xᵀ].
        damping: λ as a share of the mean diagonal, > 0; raised tenfold until the matrix is positive definite.
    """
    gram = gram.double()
    mean = float(gram.diagonal().mean()) or 1.0
    unit = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    while True:
        lower, fault = torch.linalg.cholesky_ex(gram + damping * mean * unit)
        if not int(fault):
            inverse = torch.cholesky_inverse(lower)
            upper, fault = torch.linalg.cholesky_ex(inverse, upper=True)
            if not int(fault):
                return upper
        damping *= 10


def swept(weight: torch.Tensor, factor: torch.Tensor, choose: Choose, block: int = _BLOCK) -> torch.Tensor:
    """The weight after each column became what ``choose`` says of its value at that point.

    Args:
        weight: (outputs, inputs).
        factor: of ``inverse_factor``.
        choose: called once a block of columns; what it returns is called once a column.
        block: columns a block.

    Returns:
        (outputs, inputs) float64.
    """
    left = weight.double().clone()
    done = torch.zeros_like(left)
    diagonal = factor.diagonal()
    for start in range(0, left.shape[1], block):
        stop = min(start + block, left.shape[1])
        new_values = choose(start, left[:, start:stop], diagonal[start:stop])
        errors = torch.zeros_like(left[:, start:stop])
        for i in range(start, stop):
            done[:, i] = new_values(i, left[:, i])
            errors[:, i - start] = (left[:, i] - done[:, i]) / diagonal[i]
            left[:, i:stop] -= errors[:, i - start, None] * factor[i, i:stop]
        left[:, stop:] -= errors @ factor[start:stop, stop:]
    return done


def output_error(change: torch.Tensor, weight: torch.Tensor, gram: torch.Tensor) -> float:
    """Mean squared change of a layer's outputs, as a share of their mean square."""
    change, weight, gram = change.double(), weight.double(), gram.double()
    whole = float(((weight @ gram) * weight).sum())
    return float(((change @ gram) * change).sum()) / max(whole, 1e-30)
