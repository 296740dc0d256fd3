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
        base: (...) what the models were trained from, of floating point.
        tensors: M of the models, M ≥ 1, each of the base's shape.
        weights: M finite numbers, one a model; negative ones take a model's differences away. None: 1 each.
        density: probability with which a difference stays, 0..1; one for all, or M.
        elect: elect signs as TIES does (mergekit's ``dare_ties``); False: its ``dare_linear``.
        normalize: divide the sum by that of the weights; with ``elect``, of those that agree with the sign.
        rescale: bring each model's remaining differences back to their former sum of magnitudes, as mergekit does;
            the paper divides by the density, which is the same in expectation.
        scale: of the sum, any finite number; mergekit's ``lambda``.
        seed: of what is dropped; the same for the same seed, place of the model and name of the tensor.

    Returns:
        (...) of the base's shape and dtype, computed in float32 (float64 for float64).

    Raises:
        InputError: no models; tensors of other shapes or of no floating point; as many weights or densities as there
            are not models; weights that are not finite; a density outside 0..1.

    Source: Yu et al., ICML 2024, arXiv:2311.03099; options as in mergekit's ``dare_ties`` and ``dare_linear``.
    """
    shares = weights if weights is not None else [1.0] * len(tensors)
    thin = [at_random(d, seed) for d in each(density, len(tensors), "density")]
    method = adding(shares, thin=thin, elect=elect, normalize=normalize, rescale=rescale, scale=scale)
    return merged(method, [base, *tensors])


def at_random(density: float, seed: int) -> Thin | None:
    """Differences stay with this probability; None where all do. Raises InputError outside 0..1."""
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
