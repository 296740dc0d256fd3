"""``blend``: members side by side, with weights fitted on validation data; members with weight 0 are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from torch import nn

from ...costs import Cost, latencies, measure
from ...errors import BudgetError, InputError
from ...plans import Budget
from .container import Members, named
from .outputs import Outputs, outputs_of
from .parallel import Parallel, shares
from .pooling import check_rule
from .weighting import greedy, least_squares, log_loss

METHODS = ("log_loss", "least_squares", "greedy")


def blend(
    members: Members,
    data: Iterable[Any] | Outputs,
    *,
    method: str = "log_loss",
    rule: str = "probabilities",
    budget: Budget | None = None,
    example_inputs: Any = None,
    rounds: int = 50,
    bags: int = 10,
    seed: int = 0,
) -> Parallel:
    """A weighted mean of the members.

    Args:
        members: name -> model or a list of models; they are copied.
        data: labelled batches that no member was trained on, or the members' ``gather``-ed outputs.
        method: "log_loss", "least_squares" (non-negative; both for rule "probabilities"), or "greedy" (selection with
            replacement, bagged).
        rule: how members are pooled: "probabilities", "geometric", "logits" or "vote".
        budget: what the members that are used may cost together, in one call with ``example_inputs``; shares are of
            all given members. Only for "greedy".
        rounds, bags, seed: of "greedy", see ``weighting.greedy``.

    Raises:
        InputError: an unknown method or rule, a rule or a budget that the method cannot serve, no example inputs for
            a budget, or data as in :func:`.outputs.gather`.
        BudgetError: no member alone is within the budget.
    """
    check_rule(rule)
    if method not in METHODS:
        raise InputError(f"method={method!r} is unknown; there are {', '.join(METHODS)}")
    if rule in ("mean", "median") or (rule != "probabilities" and method != "greedy"):
        raise InputError(f"method={method!r} cannot fit weights for rule={rule!r}; use rule='probabilities'")
    if budget is not None and (method != "greedy" or example_inputs is None):
        raise InputError('a budget needs method="greedy" and example_inputs')
    copies = named(members)
    outputs = outputs_of(copies, data)
    if method == "greedy":
        costs = limits = None
        if budget is not None:
            costs, limits = costs_and_limits(copies, budget, example_inputs)
        weights = greedy(outputs, rule=rule, rounds=rounds, bags=bags, costs=costs, limits=limits, seed=seed)
    else:
        weights = {"log_loss": log_loss, "least_squares": least_squares}[method](outputs)
    kept = {name: model for (name, model), w in zip(copies.items(), weights, strict=True) if w > 0}
    return Parallel(kept, rule, shares(weights[weights > 0], len(kept))).eval()


def costs_and_limits(
    members: Mapping[str, nn.Module], budget: Budget, example_inputs: Any
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """(cost of each member, limit on their sum), each by the name of the cost."""
    if budget.peak_bytes is not None:
        raise BudgetError("peak_bytes of members does not add up, as they run one after the other; limit bytes")
    found = [measure(model, example_inputs).as_dict() for model in members.values()]
    if budget.latency_ms is not None:
        for cost, milliseconds in zip(found, latencies(list(members.values()), example_inputs), strict=True):
            cost["latency_ms"] = milliseconds
    costs = {f.name: [float(cost[f.name] or 0) for cost in found] for f in fields(Cost)}
    together = Cost(**{name: sum(each) for name, each in costs.items()})  # type: ignore[arg-type]
    return costs, budget.limits(together)
