"""Which blocks to cut: the least influential first, measured anew after each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..costs import measure
from ..data.running import eval_mode
from ..errors import BudgetError, InputError
from ..evidence import device_of
from ..evidence.batches import labelled_batches
from ..evidence.gradients import Loss
from ..evidence.influence import KINDS
from ..plans import Budget, Plan, RemoveBlock, RemoveBranch
from ..plans.budget import check_saving, kept_already
from ..wiring import Transition, Wiring
from .candidates import branch_candidates, candidates, transition_candidates
from .rounds import Choice, Evaluate, Influence, Progress, Rounds


def plan_cut(
    wiring: Wiring,
    *,
    blocks: int | None = None,
    budget: Budget | None = None,
    threshold: float | None = None,
    data: Iterable[Any],
    influence: Influence = "divergence",
    evaluate: Evaluate | None = None,
    loss: Loss | None = None,
    branches: bool = True,
    maps: bool = True,
    most_examples: int = 256,
    seed: int = 0,
    progress: Progress | None = None,
    told: Callable[[Mapping[str, float]], None] | None = None,
) -> Plan:
    """Plan to cut what matters least, one part after the other, each measured with those before it gone.

    Candidates are blocks with a shortcut; of blocks inside blocks the outer one, unless it holds several items that
    could go one by one. With a budget or a threshold, attention and feed-forward branches inside them compete too, and
    what counts is the influence for each multiply-accumulate (or parameter, for a budget of these) that is saved. The
    first block of a ResNet's stage, which changes the shape, can go where ``maps`` puts a strided convolution in its
    place. A twin of the model without them must run as promised, call by call.

    Args:
        wiring: of the model, from ``trace``.
        blocks: how many whole blocks to cut; or
        budget: cut until this is kept; or
        threshold: cut while the influence of all that is gone stays below this (with "cosine" and "taylor": of each).
        data: calibration batches, each ``x`` or ``(x, y)``; only a loss needs labels. Where there are several, the last
            judges maps.
        influence: "divergence": of the model's outputs from the original's when the parts are bypassed; "cosine":
            1 - cosine of a block's input and output (ShortGPT; blocks only); "taylor": a first-order estimate of the
            change of the loss (blocks and branches).
        evaluate: called with the model in which a part is bypassed, returns one number, higher = better; then the loss
            of this number is the influence. It runs once for each part in each round.
        loss: for "taylor", ``(output, y) -> scalar``; None: no labels are needed.
        branches: whether branches compete.
        maps: put an affine map in a cut block's place where the forward allows it and that brings the outputs on
            held-out data clearly nearer; ``recovery.rejoin`` gives it its values.
        most_examples: used at most.
        seed: of labels that "taylor" draws.
        progress: called with (influences measured, influences in all, name of the block) in each round.
        told: called in each round with the influence of each candidate, by its name in the original.

    Returns:
        A proven plan. ``left`` says what could not be cut, and why.

    Raises:
        InputError: not exactly one of blocks, budget and threshold, or values out of range.
        BudgetError: the budget is not kept even with all cut that can be.
        EvidenceError: empty data, values that are not finite, or a forward whose path depends on values.

    Example:
        >>> plan = netsmith.plan_cut(wiring, blocks=2, data=batches)  # doctest: +SKIP

    Sources: Men et al. 2024, arXiv:2403.03853 (ShortGPT); re-scoring after each removal, and branches by themselves, as
        in Zhong et al. 2024, arXiv:2406.10594 (BlockPruner).
    """
    _check(wiring, blocks, budget, threshold, influence, evaluate, loss)
    found, left = candidates(wiring)
    able: dict[str, RemoveBlock | RemoveBranch | Transition] = dict(found)
    if maps and influence == "divergence":
        able |= transition_candidates(wiring)
    if blocks is not None:
        _check_count(blocks, len(able), left)
    elif branches and influence != "cosine":
        inside, kept = branch_candidates(wiring, found)
        able, left = {**inside, **able}, {**kept, **left}
    per = None if blocks is not None else _saved(budget)
    choice = Choice(influence, evaluate, loss, seed, maps, per)
    with eval_mode(wiring.model):
        batches = list(labelled_batches(data, most_examples=most_examples, device=device_of(wiring.model)))
        rounds = Rounds(wiring, batches, able, left, choice, told)
        original = measure(wiring.model, wiring.example_inputs, latency=budget is not None and bool(budget.latency_ms))
        limits = budget.limits(original) if budget is not None else {}
        while not _enough(rounds, blocks, budget, limits):
            if not rounds.step(threshold, progress):
                break
        if budget is not None and not _enough(rounds, None, budget, limits):
            raise BudgetError(
                f"the budget cannot be met by cutting: all {len(rounds.edits)} blocks that can go are gone. Give a "
                "budget above that floor, or remove units as well (shrink)"
            )
        if blocks is not None:
            _check_count(blocks, len(rounds.edits), rounds.left)
    plan = rounds.plan()
    kept = kept_already(budget, original) if budget is not None and not plan.edits else {}
    return replace(plan, left={**rounds.left, **kept})


def _saved(budget: Budget | None) -> str:
    """What a part is to save: parameters where only these are limited."""
    counted = budget is not None and budget.macs is None and budget.latency_ms is None
    return "params" if counted else "macs"


def _check_count(wanted: int, able: int, left: Mapping[str, str]) -> None:
    if wanted > able:
        why = "; ".join(f"{name}: {reason}" for name, reason in list(left.items())[:3])
        raise InputError(f"blocks={wanted}, but only {able} blocks can be cut{f' ({why})' if why else ''}")


def _enough(rounds: Rounds, blocks: int | None, budget: Budget | None, limits: dict[str, float]) -> bool:
    if blocks is not None:
        return len(rounds.edits) >= blocks
    if budget is None:
        return False
    cost = measure(rounds.now.model, rounds.wiring.example_inputs, latency="latency_ms" in limits)
    return all(getattr(cost, name) <= limit for name, limit in limits.items())


def _check(
    wiring: object,
    blocks: object,
    budget: object,
    threshold: object,
    influence: object,
    evaluate: object,
    loss: object,
) -> None:
    if not isinstance(wiring, Wiring):
        raise InputError(f"wiring is a {type(wiring).__name__}; give what trace(model, example_inputs) returns")
    if sum(each is not None for each in (blocks, budget, threshold)) != 1:
        raise InputError("give one of blocks (e.g. blocks=2), budget (e.g. Budget(macs=0.7)) and threshold (e.g. 0.01)")
    if blocks is not None and (not isinstance(blocks, int) or isinstance(blocks, bool) or blocks < 1):
        raise InputError(f"blocks={blocks!r} must be an int ≥ 1: how many blocks to cut")
    if budget is not None:
        check_saving(budget)
    if threshold is not None and not (isinstance(threshold, (int, float)) and threshold > 0):
        raise InputError(f"threshold={threshold!r} must be a number > 0")
    if influence not in KINDS:
        raise InputError(f"influence={influence!r}; give one of {', '.join(KINDS)}")
    if evaluate is not None and (not callable(evaluate) or influence != "divergence"):
        raise InputError("evaluate is a function of a model that returns a number, and takes the place of influence=")
    if loss is not None and influence != "taylor":
        raise InputError(f'influence="{influence}" takes no loss; only "taylor" does')
