"""DARE: differences are dropped at random and the rest made larger."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from .chunks import Chunks, merged
from .task_vectors import Thin, adding, check_density, each


def dare(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float] | None = None,
    *,
    density: float | Sequence[float] = 1.0,
    elect: bool = False,
    normalize: bool = False,
    rescale: bool = True,
    scale: float = 1.0,
    seed: int = 0,
) -> Tensor:
    """base + scale · Σ wᵢ·(a random share of xᵢ - base).

    Args:
        base: what the models were trained from.
        tensors: of the models, of the base's shape.
        weights: one a model; None: 1 each.
        density: probability with which a difference stays.
        elect: elect signs as TIES does (mergekit's ``dare_ties``); False: its ``dare_linear``.
        normalize: divide by the weights that count.
        rescale: bring each model's remaining differences back to their former sum of magnitudes, as mergekit does;
            the paper divides by the density, which is the same in expectation.
        scale: mergekit's ``lambda``.
        seed: of what is dropped.

    Returns:
        A tensor of the base's dtype, computed in float32 (float64 for float64).

    Raises:
        InputError: tensors, weights or densities that do not fit each other.

    Source: Yu et al., ICML 2024, arXiv:2311.03099.
    """
    shares = weights if weights is not None else [1.0] * len(tensors)
    thin = [at_random(d, seed) for d in each(density, len(tensors), "density")]
    method = adding(shares, thin=thin, elect=elect, normalize=normalize, rescale=rescale, scale=scale)
    return merged(method, [base, *tensors])


def at_random(density: float, seed: int) -> Thin | None:
    """Differences stay with this probability; None where all do."""
    if check_density(density) == 1:
        return None
    return lambda chunks, number: KeepRandom(density, generator_for(chunks, number, seed))


def generator_for(chunks: Chunks, number: int, seed: int) -> torch.Generator:
    """Of one model's tensor: the same in every run, whatever the order of tensors."""
    digest = hashlib.sha256(f"{seed}/{number}/{chunks.name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))


class KeepRandom:
    """Drops with the same probability everywhere."""

    passes = 0

    def __init__(self, density: float, generator: torch.Generator) -> None:
        self.density, self.generator = density, generator

    def survey(self, delta: Tensor) -> None:
        """Nothing to see."""

    def next_pass(self) -> None:
        """Nothing was seen."""

    def kept(self, delta: Tensor) -> Tensor:
        return (torch.rand(len(delta), generator=self.generator) < self.density).to(delta.device)
