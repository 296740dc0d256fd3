"""Members side by side: their outputs are averaged, multiplied or counted as votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...costs import latencies
from ...data.running import logits
from ...errors import InputError
from .container import Ensemble, Members, named
from .pooling import check_rule, pool
from .stacked import Stacked, can_be_stacked


class Parallel(Ensemble):
    """All members run; ``pooling.pool`` makes one output of theirs.

    Attributes:
        rule: as in ``pooling.pool``.
        weights: (M,) buffer, ≥ 0, sum 1.
        stacked: the members' weights laid on top of each other, where they run as one; else None, and they run one
            after the other.
    """

    weights: Tensor

    def __init__(self, members: Mapping[str, nn.Module], rule: str, weights: Tensor) -> None:
        super().__init__(members)
        self.rule = rule
        self.register_buffer("weights", weights)
        self.stacked: Stacked | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return pool(self.member_scores(*args, **kwargs), self.weights, self.rule)

    def member_scores(self, *args: Any, **kwargs: Any) -> Tensor:
        if self.stacked is not None:
            return logits(self.stacked(*args, **kwargs))
        return super().member_scores(*args, **kwargs)

    def batched(self) -> Parallel:
        """The same ensemble with members of one architecture run as one batched network, in eval mode only.

        Raises:
            InputError: the members' architectures differ.
        """
        if self.stacked is not None:
            return self
        twin = Parallel({}, self.rule, self.weights.clone())
        twin.names, twin.stacked = self.names, Stacked(list(self.members))
        return twin.eval()

    def side_by_side(self) -> Parallel:
        """The same ensemble with one module a member; the inverse of ``batched``."""
        if self.stacked is None:
            return self
        members = dict(zip(self.names, self.stacked.apart(), strict=True))
        return Parallel(members, self.rule, self.weights.clone()).eval()


def parallel(
    members: Members,
    *,
    rule: str = "probabilities",
    weights: Sequence[float] | Tensor | None = None,
    example_inputs: Any = None,
) -> Parallel:
    """One module that runs all members on the same input and makes one output of theirs.

    Args:
        members: name -> model, or a list of models; they are copied. Any architectures.
        rule: "probabilities", "geometric", "logits", "vote"; for regression "mean" or "median".
        weights: (M,) ≥ 0, not all zero; divided by their sum. None: all alike.
        example_inputs: one call's inputs. Where they are given and the members share one architecture, the time of
            a batched run (``torch.vmap`` over stacked weights) is measured on them, and the faster way is kept.

    Returns:
        The ensemble in eval mode. Its output is what a classifier of C classes returns: for "probabilities",
        "geometric" and "vote" log-probabilities.

    Raises:
        InputError: no members, an unknown rule, or weights that do not fit.

    Example:
        >>> ensemble = parallel([model_a, model_b], rule="geometric")  # doctest: +SKIP
    """
    check_rule(rule)
    copies = named(members)
    ensemble = Parallel(copies, rule, shares(weights, len(copies))).eval()
    if weights is not None and rule == "median":
        raise InputError('rule="median" takes no weights; leave them out, or use rule="mean"')
    if example_inputs is None or not can_be_stacked(list(ensemble.members)):
        return ensemble
    batched = ensemble.batched()
    one_by_one, at_once = latencies([ensemble, batched], example_inputs)
    return batched if at_once < one_by_one else ensemble


def shares(weights: Sequence[float] | Tensor | None, count: int) -> Tensor:
    """(count,) float32 ≥ 0 with sum 1.

    Raises:
        InputError: another number of weights, negative or not finite ones, or all zero.
    """
    if weights is None:
        return torch.full((count,), 1 / count)
    given = torch.as_tensor(weights, dtype=torch.float64)
    if given.shape != (count,) or not bool(given.isfinite().all()) or bool((given < 0).any()) or not given.sum() > 0:
        raise InputError(f"weights must be {count} numbers ≥ 0, not all zero, not {weights}")
    return (given / given.sum()).float()
