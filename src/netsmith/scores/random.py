"""No opinion: the yardstick for every other score."""

from __future__ import annotations

import hashlib

import torch

from ..errors import InputError
from ..evidence import Weights
from ..wiring import Axis


def random(axis: Axis, weights: Weights, *, seed: int = 0) -> torch.Tensor:
    """A number in [0, 1) for each unit, drawn by hashing the seed, the axis's name and the unit's own weights.

    So it needs no generator and no order of calls: the same model and seed always give the same scores, and units that
    change places take theirs along. Units with the same weights, which are the same unit twice, get the same score.

    Args:
        axis: the axis to score.
        weights: current weights, with values.
        seed: another seed, other scores.

    Returns:
        (axis.size,) float32.

    Raises:
        InputError: seed is no int.
    """
    if not isinstance(seed, int):
        raise InputError(f"seed={seed!r} is a {type(seed).__name__}; give an int")
    digests = [hashlib.blake2b(f"{seed}/{axis.name}".encode(), digest_size=8) for _ in range(axis.size)]
    for rows in weights.per_unit(axis):
        if rows.is_meta:
            return torch.zeros(axis.size, device="meta")
        data = rows.detach().cpu().flatten().clone().view(torch.uint8).reshape(axis.size, -1)  # numpy has no bfloat16
        for digest, row in zip(digests, data.numpy(), strict=True):
            digest.update(row.tobytes())
    # 24 bits: what a float32 below 1 holds exactly
    return torch.tensor([(int.from_bytes(d.digest(), "big") >> 40) / 2**24 for d in digests])
