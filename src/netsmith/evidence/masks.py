"""Which rows of a layer's input belong to padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..errors import InputError

Mask = Callable[[Any], torch.Tensor]
"""Inputs of one call -> (examples, positions): true, or not 0, where a position counts."""


def mask_of(mask: Mask | None, inputs: Any) -> torch.Tensor | None:
    """What a mask says of one batch, as booleans.

    Raises:
        InputError: it gives no tensor, or one of fewer than two dimensions.
    """
    if mask is None:
        return None
    found = mask(inputs)
    if not isinstance(found, torch.Tensor) or found.dim() < 2:
        got = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise InputError(
            f"mask gave {got}; it must give a tensor (examples, positions), e.g. mask=lambda x: x['attention_mask']"
        )
    return found != 0


def counted_rows(mask: torch.Tensor, shape: Sequence[int], across: bool) -> torch.Tensor | None:
    """Indices of the rows that count, among rows laid out as ``shape``; None where the mask does not say.

    Args:
        mask: (examples, positions) booleans.
        shape: of the rows, without the features: (examples, positions), (positions, examples), or both in one.
        across: rows in one dimension go through the examples first.
    """
    given, rank = tuple(mask.shape), mask.dim()
    shape = tuple(shape)
    if shape[:rank] == given:
        rows = mask
    elif rank == 2 and shape[:2] == given[::-1]:
        rows = mask.T
    elif shape[:1] == (mask.numel(),):
        rows = (mask.T if across and rank == 2 else mask).reshape(-1)
    else:
        return None
    rest = shape[rows.dim() :]
    rows = rows.reshape(*rows.shape, *[1] * len(rest)).expand(shape)
    return rows.reshape(-1).nonzero()[:, 0]
