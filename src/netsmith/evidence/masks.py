"""Which rows of a layer's input or output belong to padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..errors import InputError
from .patches import CONVOLUTIONS, row_count

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


def sampled_rows(
    out: torch.Tensor,
    name: str,
    most: int,
    generator: torch.Generator,
    counted: torch.Tensor | None = None,
    across: bool = False,
) -> torch.Tensor:
    """Indices of at most ``most`` random rows (positions) of a layer's output, of those that count.

    Args:
        out: what the call returned.
        name: canonical function name.
        most: rows.
        generator: of the choice.
        counted, across: as in ``counted_rows``; None: all count.
    """
    shape = (out.shape[0], *out.shape[2:]) if name in CONVOLUTIONS else out.shape[:-1]
    found = None if counted is None else counted_rows(counted, shape, across)
    count = row_count(out, name) if found is None else len(found)
    rows = torch.randperm(count, generator=generator)[:most].to(out.device)
    return rows if found is None else found.to(out.device)[rows]


def counted_part(out: torch.Tensor, counted: torch.Tensor | None) -> torch.Tensor:
    """(rows, features) of an output (..., features) that count; the output as it is where the mask does not say."""
    rows = None if counted is None or out.dim() < 2 else counted_rows(counted, out.shape[:-1], across=False)
    return out if rows is None else out.flatten(0, -2)[rows.to(out.device)]
