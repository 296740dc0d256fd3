"""What models learned since their base, added up: task arithmetic, and the frame of TIES, DARE, breadcrumbs and DELLA.

These four thin each model's difference from the base before it is added; each is a file beside this one. Differences
are rounded to the chunks' ``dtype``, as mergekit does, so that the same ones are equal, larger or smaller; they are
weighed and added up in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..errors import InputError
from .chunks import Chunks, Kernel, Method, check_weights, merged

_TINY = 1e-8  # a sum of weights below which nothing is divided by it
_NORM = 1e-7  # a sum of magnitudes below which nothing is rescaled


class Thinning(Protocol):
    """Says which differences of one model stay. Its state has a life: surveyed first, then run over in order."""

    passes: int

    def survey(self, delta: Tensor) -> None:
        """Look at a chunk; called for every chunk ``passes`` times."""

    def next_pass(self) -> None:
        """After every chunk was looked at once more."""

    def kept(self, delta: Tensor) -> Tensor:
        """False where an element of the chunk becomes zero; called for every chunk in order."""


Thin = Callable[[Chunks, int], Thinning]
"""(chunks, number of the model after the base, from 0) -> a fresh state."""


def task_arithmetic(
    base: Tensor,
    tensors: Sequence[Tensor],
    weights: Sequence[float] | None = None,
    *,
    normalize: bool = False,
    scale: float = 1.0,
) -> Tensor:
    """base + scale · Σ wᵢ·(xᵢ - base), divided by Σ wᵢ if ``normalize``.

    Args:
        base: what the models were trained from.
        tensors: of the models, of the base's shape.
        weights: one a model; None: 1 each. Negative ones forget a task.
        normalize: divide by the sum of the weights.
        scale: mergekit's ``lambda``.

    Returns:
        A tensor of the base's dtype, computed in float32 (float64 for float64).

    Raises:
        InputError: tensors or weights that do not fit each other.

    Source: Ilharco et al., ICLR 2023, arXiv:2212.04089; options as in mergekit's ``task_arithmetic``.
    """
    weights = weights if weights is not None else [1.0] * len(tensors)
    return merged(adding(weights, normalize=normalize, scale=scale), [base, *tensors])


def adding(
    weights: Sequence[float],
    *,
    thin: Sequence[Thin | None] | None = None,
    elect: bool = False,
    normalize: bool = False,
    rescale: bool = False,
    scale: float = 1.0,
) -> Method:
    """Differences from the base, thinned, weighed and added, as a method.

    Args:
        weights: one a model after the base.
        thin: how each model's differences are thinned; None: not at all.
        elect: of each element only the models count whose difference has the sign of the weighted sum (TIES).
        normalize: divide by the weights that count.
        rescale: after thinning bring each model's differences back to their sum of magnitudes.
        scale: of the sum, before it is added to the base.
    """

    def prepare(chunks: Chunks) -> tuple[Chunks, Kernel]:
        models = len(chunks.sources) - 1
        shares = check_weights(weights, models)
        if models < 1:
            raise InputError("task arithmetic needs a base and at least one model that was trained from it")
        makers = list(thin) if thin is not None else [None] * models
        states, factors = _surveyed(chunks, makers), [1.0] * models
        if rescale and any(states):
            factors = _rescaling(chunks, states)
            states = _surveyed(chunks, makers)
        total = sum(shares)

        def kernel(chunk: list[Tensor]) -> Tensor:
            base = chunk[0].to(chunks.dtype)
            parts = []
            for x, share, state, factor in zip(chunk[1:], shares, states, factors, strict=True):
                rounded = x.to(chunks.dtype).sub(base)
                delta = rounded.to(chunks.work)
                if state is not None:
                    # As bytes: they become floats seven times faster than booleans do.
                    delta.mul_(state.kept(rounded).view(torch.uint8).to(delta.dtype))
                parts.append(delta if share * factor == 1 else delta.mul_(share * factor))
            if elect:
                mixed = _elected(parts, shares, normalize)
            else:
                mixed = parts[0]
                for part in parts[1:]:
                    mixed.add_(part)
                if normalize and abs(total) >= _TINY:
                    mixed.div_(total)
            return mixed.mul_(scale).add_(base) if scale != 1.0 else mixed.add_(base)

        return chunks, kernel

    return prepare


def _elected(parts: list[Tensor], shares: Sequence[float], normalize: bool) -> Tensor:
    """Sum (or weighted mean) of the weighted differences that have the sign of their sum."""
    total = parts[0].add(parts[1]) if len(parts) > 1 else parts[0].clone()
    for part in parts[2:]:
        total.add_(part)
    sign = total.ge_(0).mul_(2).sub_(1)  # 1 or -1; of nothing 1
    mixed = torch.zeros_like(sign)
    divisor = torch.zeros_like(sign)
    for part, share in zip(parts, shares, strict=True):
        agreeing = part.mul_(sign).clamp_(min=0)
        mixed.add_(agreeing)
        if normalize:
            divisor.add_(agreeing.sign_(), alpha=share)
    if normalize:
        # Where nobody agrees there is nothing to divide; where weights are negative their sum may vanish too.
        mixed.div_(divisor.clamp_(min=_TINY) if min(shares) >= 0 else torch.where(divisor == 0, 1.0, divisor))
    return mixed.mul_(sign)


def _surveyed(chunks: Chunks, makers: Sequence[Thin | None]) -> list[Thinning | None]:
    states = [maker(chunks, number) if maker else None for number, maker in enumerate(makers)]
    for done in range(max((state.passes for state in states if state), default=0)):
        waiting = [(number, state) for number, state in enumerate(states) if state and state.passes > done]
        for chunk in chunks:
            base = chunk[0].to(chunks.dtype)
            for number, state in waiting:
                state.survey(chunk[number + 1].to(chunks.dtype).sub(base))
        for _, state in waiting:
            state.next_pass()
    return states


def _rescaling(chunks: Chunks, states: Sequence[Thinning | None]) -> list[float]:
    """Sum of magnitudes before thinning / after it; uses the states up."""
    sums = torch.zeros(len(states), 2, dtype=torch.float64)
    for chunk in chunks:
        base = chunk[0].to(chunks.dtype)
        for number, state in enumerate(states):
            if state is not None:
                rounded = chunk[number + 1].to(chunks.dtype).sub(base)
                kept, delta = state.kept(rounded), rounded.to(chunks.work)
                sums[number, 0] += delta.abs_().sum().cpu()
                sums[number, 1] += delta.mul_(kept).sum().cpu()
    return [before / after if min(before, after) >= _NORM else 1.0 for before, after in sums.tolist()]


def check_density(density: float, what: str = "density") -> float:
    """A share in 0..1.

    Raises:
        InputError: it is not.
    """
    if not 0 <= density <= 1:
        raise InputError(f"{what} is the share of differences that stay, from 0 to 1, not {density}")
    return float(density)


def each(value: float | Sequence[float], count: int, what: str) -> list[float]:
    """One number for every model, from one for all or a sequence of them.

    Raises:
        InputError: a sequence of another length.
    """
    values = [float(value)] * count if isinstance(value, int | float) else [float(v) for v in value]
    if len(values) != count:
        raise InputError(f"{what}: there are {count} models, but {len(values)} numbers; give one, or one a model")
    return values
