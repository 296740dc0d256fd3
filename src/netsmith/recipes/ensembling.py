"""The ensemble of a kind that is named: what ``netsmith ensemble`` and the step of a recipe make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..combining import ensembles
from ..combining.ensembles.quality import macs_of
from ..errors import InputError


@dataclass(frozen=True)
class Choices:
    """What only some kinds look at; the words are those of the functions in ``combining.ensembles``.

    Attributes:
        target_cost: MACs an example, or a share such as "50%" of the last member's.
        cost_option: what the caller's user knows ``target_cost`` as.
    """

    rule: str
    method: str | None
    target_accuracy: float | None
    target_cost: float | str | None
    confidence: str
    combine: str
    seed: int
    cost_option: str = "target_cost"


def ensemble_of(
    kind: str, members: Mapping[str, nn.Module], data: Any, example_inputs: Any, how: Choices
) -> tuple[ensembles.Ensemble, ensembles.Selection | None]:
    """The ensemble, and what was tried for it where the kind is "select".

    Args:
        kind: "parallel", "blend", "stack", "mixture", "cascade" or "select".
        members: by name; cheapest first for a cascade.
        data: labelled batches; a parallel ensemble needs none.
        example_inputs: one call's inputs.
        how: the rest.

    Raises:
        InputError: a target that is no cost; and all that the functions raise.
    """
    members, seed = dict(members), how.seed
    if kind == "select":
        tried = ensembles.select(members, data, example_inputs=example_inputs, seed=seed)
        best = tried.best
        if isinstance(best.model, ensembles.Ensemble) and best.kind != "single":
            return best.model, tried
        return ensembles.parallel({best.name: best.model}, rule="logits"), tried
    make: dict[str, Callable[[], ensembles.Ensemble]] = {
        "parallel": lambda: ensembles.parallel(members, rule=how.rule),
        "blend": lambda: ensembles.blend(members, data, method=how.method or "log_loss", seed=seed),
        "stack": lambda: ensembles.stack(members, data, meta=how.method or "logistic", seed=seed),
        "mixture": lambda: ensembles.mixture(members, data, seed=seed),
        "cascade": lambda: ensembles.cascade(
            members,
            data,
            example_inputs=example_inputs,
            target_accuracy=how.target_accuracy,
            target_cost=_macs(members, example_inputs, how),
            measure=how.confidence,
            combine=how.combine,
        ),
    }
    return make[kind](), None


def _macs(members: dict[str, nn.Module], example_inputs: Any, how: Choices) -> float | None:
    """MACs an example that ``target_cost`` stands for."""
    if how.target_cost is None:
        return None
    text = str(how.target_cost)
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf"):
        raise InputError(
            f"{how.cost_option} {how.target_cost!r}: write MACs (5000000) or a share of the last member's (50%)"
        )
    if not text.endswith("%"):
        return number
    last = list(members)[-1]
    return number / 100 * macs_of({last: members[last]}, example_inputs)[last]
