"""``cascade``: members and validation data -> a cascade with calibrated members and chosen thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError
from .calibration import temperature
from .cascade import Cascade
from .confidence import Stage, check_measure
from .container import Members, named
from .outputs import Outputs, outputs_of
from .quality import macs_of
from .thresholds import choose


def cascade(
    members: Members,
    data: Iterable[Any] | Outputs,
    *,
    example_inputs: Any = None,
    costs: Sequence[float] | None = None,
    target_accuracy: float | None = None,
    target_cost: float | None = None,
    measure: str = "probability",
    combine: str = "last",
) -> Cascade:
    """Run the cheap member first, and the others only on examples that it is not sure about.

    Each member's temperature is fitted on the data, then the thresholds are chosen on it: a *cheapest* cascade for a
    target accuracy, or a *most accurate* one for a target mean cost.

    Args:
        members: name -> model or a list of models, cheapest first; they are copied.
        data: labelled batches that no member was trained on (or their ``gather``-ed outputs): a member is too sure of
            what it has learnt by heart, and the thresholds would let too many leave.
        example_inputs: one call's inputs, to count MACs with.
        costs: of each member for one example, in any unit, in place of ``example_inputs``: milliseconds, joules.
        target_accuracy: share of right answers in 0..1.
        target_cost: mean cost of an example, in MACs or the unit of ``costs``.
        measure: "probability", "margin" or "entropy" of the calibrated answer, or "agreement" of the members so far
            (two at least see every example).
        combine: "last" or "mean": answer with the last member seen, or with the mean probabilities of all seen.

    Returns:
        The cascade in eval mode; it returns log-probabilities (N, C). ``evaluate`` says what it gives
        and costs on other data.

    Raises:
        InputError: fewer than two members, no costs, no target or two, or data as in :func:`.outputs.gather`.
        BudgetError: the target cannot be reached; the message says what can.

    Source: Viola & Jones, CVPR 2001; the mean of all seen: Wang et al., ICLR 2022, arXiv:2012.01988.
    """
    check_measure(measure, combine)
    copies = named(members)
    if len(copies) < 2:
        raise InputError("a cascade needs two members at least, the cheapest first")
    outputs = outputs_of(copies, data)
    if costs is None:
        if example_inputs is None:
            raise InputError("a cascade weighs costs: give example_inputs to count MACs with, or costs=[...]")
        costs = list(macs_of(copies, example_inputs).values())
    if len(costs) != len(copies):
        raise InputError(f"costs must be {len(copies)} numbers, one a member, not {list(costs)}")
    temperatures = [temperature(scores, outputs.labels) for scores in outputs.scores]
    confidence, right = stages(outputs, temperatures, measure, combine)
    choice = choose(confidence, right, costs, target_accuracy=target_accuracy, target_cost=target_cost)
    thresholds = torch.tensor(choice.thresholds, dtype=torch.float32)
    return Cascade(copies, measure, combine, torch.tensor(temperatures), thresholds).eval()


def stages(outputs: Outputs, temperatures: Sequence[float], measure: str, combine: str) -> tuple[Tensor, Tensor]:
    """(confidence after each member but the last (K-1, N), whether the answer after each is right (K, N) bool)."""
    stage = Stage(measure, combine)
    confidence, right = [], []
    for scores, each in zip(
        outputs.scores, torch.tensor(temperatures), strict=True
    ):  # float32, as the cascade has them
        stage = stage.after(scores / each)
        confidence.append(stage.confidence)
        right.append(stage.answer.argmax(1) == outputs.labels)
    return torch.stack(confidence[:-1]), torch.stack(right)
