"""How sure a cascade is after each member, and what it would answer then."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ...errors import InputError

MEASURES = ("probability", "margin", "entropy", "agreement")
COMBINATIONS = ("last", "mean")


@dataclass(frozen=True, eq=False)
class Stage:
    """What is known of some examples after the members that they have seen; before the first all tensors are None.

    Attributes:
        measure, combine: as in ``Cascade``.
        members: number of members seen.
        total: (N, C) logarithm of the sum of the members' probabilities.
        latest: (N, C) log-probabilities of the last member.
        votes: (N, C) number of members whose answer each class was.
    """

    measure: str
    combine: str
    members: int = 0
    total: Tensor | None = None
    latest: Tensor | None = None
    votes: Tensor | None = None

    def after(self, scores: Tensor) -> Stage:
        """The stage after one more member with these scores (N, C), already divided by its temperature."""
        latest = scores.log_softmax(1)
        total = latest if self.total is None else torch.logaddexp(self.total, latest)
        vote = one_hot(latest.argmax(1), latest.shape[1])
        votes = vote if self.votes is None else self.votes + vote
        return replace(self, members=self.members + 1, total=total, latest=latest, votes=votes)

    def rows(self, chosen: Tensor) -> Stage:
        """The same of some of the examples."""
        parts = {name: getattr(self, name).index_select(0, chosen) for name in ("total", "latest", "votes")}
        return replace(self, **parts)

    @property
    def answer(self) -> Tensor:
        """(N, C) log-probabilities, were the examples to leave now."""
        found = self.latest if self.combine == "last" else self.total
        if found is None:
            raise InputError("no member has been seen yet")
        return found if self.combine == "last" else found - math.log(self.members)

    @property
    def confidence(self) -> Tensor:
        """(N,) in 0..1; higher = surer.

        "probability": the largest of the answer's; "margin": the largest less the second largest; "entropy": 1 -
        entropy / log C; "agreement": share of the members so far that say the same; 0 after one, who agrees with all.
        """
        if self.measure == "agreement":
            if self.votes is None or self.members < 2:
                return torch.zeros_like(self.answer[:, 0])
            return self.votes.max(1).values.to(self.answer.dtype) / self.members
        probabilities = self.answer.exp()
        if self.measure == "probability":
            return probabilities.max(1).values
        if self.measure == "margin":
            first, second = probabilities.topk(2, dim=1).values.unbind(1)
            return first - second
        return 1 + (probabilities * self.answer).sum(1) / math.log(probabilities.shape[1])


def check_measure(measure: str, combine: str) -> None:
    """Raise InputError for names that ``Stage`` does not know."""
    if measure not in MEASURES:
        raise InputError(f"measure={measure!r} is unknown; there are {', '.join(MEASURES)}")
    if combine not in COMBINATIONS:
        raise InputError(f"combine={combine!r} is unknown; there are {', '.join(COMBINATIONS)}")
