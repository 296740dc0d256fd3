"""``search``: the best structure under each budget, with weights from the parent."""

from __future__ import annotations

import hashlib
import time as clock
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import nn

from ..costs import Cost, predict
from ..errors import InputError, UnknownNameError
from ..evidence import calibration_batches, device_of, examples_in, influence
from ..evidence.masks import Mask
from ..plans import Budget
from ..searches import Curves, measure_curves
from ..searches.candidate import Candidate, best_first
from ..searches.latency_table import latency_table
from ..searches.problem import Problem
from ..searches.referee import Referee
from ..searches.space import Menus, Space, find_menus
from ..searches.steering import Steered, steered, timed
from ..searches.strategies import STRATEGIES, Strategy
from ..searches.strategies.allocation import divided
from ..searches.strategies.uniform import uniform_structure
from ..searches.structure import Structure
from ..searches.trials import digest, run_trials
from ..wiring import Wiring, tensor_slots, trace
from ..wiring.recorder import tensors_in
from .judging import Heal, Workbench
from .soundness import check_model
from .steps import Evaluate, Progress, scores_of, telling
from .study import Study

_REPAIR, _HELD_OUT = 1024, 256  # examples to repair with, and to measure divergence on


def search(
    model: nn.Module,
    example_inputs: Any,
    *,
    data: Iterable[Any],
    budgets: Budget | Sequence[Budget],
    evaluate: Evaluate | None = None,
    space: Space | None = None,
    strategy: str | Strategy | Sequence[str | Strategy] = "allocation",
    trials: int = 24,
    time: float | None = None,
    heal: Heal | None = None,
    finalists: int = 3,
    maximize: str | None = None,
    minimize: str | None = None,
    mask: Mask | None = None,
    seed: int = 0,
    storage: str | Path | None = None,
    workers: int = 1,
    ray: str | None = None,
    engine: str = "eager",
    progress: Progress | None = None,
) -> Study:
    """Try structures under each budget, and keep the best.

    Every candidate takes its weights from the model: it is cut, pruned and widened, and repaired in closed form. What
    is over the budget is not built; what differs too much from the original on a small batch is not evaluated in full.
    The best of each budget, and the uniform one beside them, are then repaired finely or healed before the choice,
    because healing changes their order.

    Args:
        model: a trained model; not changed.
        example_inputs: one call's inputs.
        data: batches, each ``x`` or ``(x, y)``, to repair and to heal with; can be gone through several times.
        budgets: what results may cost; one or several.
        evaluate: called with a model in eval mode, returns a score, or several by name. Choose on validation data.
            None: how far the outputs are from the original's.
        space: what may change; None: widths.
        strategy: "allocation", "evolution", "tpe", "nsga2", "random", "uniform", or a function
            ``(problem, judge, trials, seed) -> None`` as in ``netsmith.searches.strategies``; or several, one after the
            other, each with as many trials.
        trials: structures judged in all by a strategy, shared among the budgets; healing comes on top.
        time: seconds after which no further generation is begun. What is found then depends on the machine's speed.
        heal: epochs of distillation from the model on ``data``, or ``(edited, original) -> trained``; None: finalists
            are refitted layers together, and nothing is trained.
        finalists: how many of each budget and strategy are healed, ≥ 1.
        maximize, minimize: name of the score that decides; None: the first that ``evaluate`` gives, higher is better.
        mask: as in ``shrink``.
        seed: of everything drawn at random.
        storage: a folder in which outcomes and healed models are kept, so that a killed search goes on where it was.
        workers: processes. Results do not depend on their number.
        ray: address of a Ray cluster, or "local".
        engine: in which the time of latency budgets is measured: "eager", "compile", "onnxruntime" or "openvino".
        progress: called with (what is being done, done, in all).

    Returns:
        The study: candidates, front, and any of them as a model.

    Raises:
        InputError, BudgetError, EvidenceError, UnknownNameError, CaptureError, ModelError: see their messages.

    Example:
        >>> study = netsmith.search(  # doctest: +SKIP
        ...     model, x, data=batches, budgets=[Budget(macs=0.5), Budget(macs=0.25)], evaluate=accuracy, heal=5
        ... )
        >>> small = study.build(study.best(Budget(macs=0.25))).model  # doctest: +SKIP
    """
    start = clock.monotonic()
    numbers = {"trials": trials, "finalists": finalists, "workers": workers, "seed": seed}
    wanted = _checked(model, data, budgets, evaluate, heal, numbers)
    if maximize is not None and minimize is not None:
        raise InputError("give one of maximize and minimize: the name of the score that decides")
    strategies = _strategies(strategy)
    tell = progress or (lambda what, done, total: None)
    tell("trace", 0, 1)
    wiring = trace(model, example_inputs)
    space = Space() if space is None else space
    menus = find_menus(wiring, space)
    tell("evaluate", 0, 1)
    scores = scores_of(evaluate, model) or {"divergence": 0.0}
    objective, higher = _objective(scores, evaluate, maximize, minimize)
    repair, held_out = _split(wiring, data)
    curves, weights = _evidence(wiring, space, menus, repair, mask, seed, tell)
    original = Candidate("original", "original", Structure(), predict(wiring, wiring.sizes), scores=scores)
    value = _value(objective, higher)
    original = replace(original, value=value(scores), divergence=0.0)
    problem = Problem(wiring, menus, (), curves, weights, space.round_to)
    limits, times = _limits(problem, wanted, engine, seed, tell)
    problem = replace(problem, limits=limits)
    if times:
        original = replace(original, cost=replace(original.cost, latency_ms=next(iter(times.values())).original_ms))
    folder = None if storage is None else Path(storage)
    bench = Workbench(
        model,
        example_inputs,
        menus,
        {} if curves is None else curves.ranks,
        repair,
        held_out,
        evaluate,
        heal,
        data,
        space.round_to,
        mask,
        seed,
        None if folder is None else folder / "models",
    )
    asked = {
        "budgets": [{k: v for k, v in asdict(budget).items() if v is not None} for budget in wanted],
        "space": asdict(space),
        "strategy": [name for name, _ in strategies],
        "trials": trials,
        "heal": heal if isinstance(heal, int) else None if heal is None else getattr(heal, "__name__", "function"),
        "finalists": finalists,
        "objective": objective,
        "seed": seed,
    }
    about = digest(
        {
            "space": asked["space"],
            "heal": asked["heal"],
            "seed": seed,
            "model": _digest_of(wiring),
            "data": _digest(repair),
        }
    )

    def run(batch: Any) -> Any:
        return run_trials(batch, bench, workers=workers, ray=ray, store=storage, progress=telling(tell, "trial"))

    referee = Referee(problem, run, about, value, None if time is None else start + time)
    for number, (name, propose) in enumerate(strategies):
        tell("search", number, len(strategies))
        referee.begin(name, trials)
        propose(problem, referee.judge, trials, seed)
    tell("finalists", 0, 1)
    _judge_finalists(referee, [name for name, _ in strategies], finalists, heal is not None, seed)
    _with_latency(referee, bench, times)
    return Study(
        original,
        tuple(referee.candidates),
        wanted,
        objective,
        higher,
        asked,
        menus,
        referee.specs,
        bench,
        clock.monotonic() - start,
        times,
    )


def _judge_finalists(referee: Referee, strategies: Sequence[str], count: int, heal: bool, seed: int) -> None:
    """The best of each strategy under each budget, and the uniform structure beside them, healed or repaired finely."""
    problem, how = referee.problem, {"most": None, "finely": True, "heal": heal}
    judged = tuple(referee.candidates)
    for number, limits in enumerate(problem.limits):
        for origin in dict.fromkeys((*strategies, "uniform")):
            fitting = [c for c in judged if c.origin == origin and problem.excess(c.structure, limits) <= 1]
            chosen = list(dict.fromkeys(c.structure for c in best_first(fitting)))[:count]
            if origin == "uniform" and not chosen:
                chosen = [each for each in [uniform_structure(problem, limits, seed)] if each is not None]
            referee.begin(origin, 0)
            referee.judged(chosen, [how] * len(chosen), number)


def _with_latency(referee: Referee, bench: Workbench, times: Mapping[int, Steered]) -> None:
    """Measure the finalists of latency budgets in turns with the original; reject those that are too slow after all."""
    for place, candidate in enumerate(referee.candidates):
        steering = None if candidate.budget is None else times.get(candidate.budget)
        if steering is None or candidate.rejected is not None or not referee.specs[candidate.name]["finely"]:
            continue
        model = bench.built(referee.specs[candidate.name]).model
        before, after = timed([bench.model, model], bench.example_inputs, steering.engine)
        limit, scale = steering.limit_ms / steering.original_ms, steering.original_ms / before
        cost = replace(candidate.cost, latency_ms=after * scale)
        slow = after > limit * before
        why = f"latency_ms is {after * scale:,.4g}, above {steering.limit_ms:,.4g}" if slow else None
        referee.candidates[place] = replace(candidate, cost=cost, rejected=why)


def _limits(
    problem: Problem, budgets: Sequence[Budget], engine: str, seed: int, tell: Progress
) -> tuple[tuple[dict[str, float], ...], dict[int, Steered]]:
    """What each budget allows of costs that widths foretell, and, for those of latency, how they were steered."""
    whole = predict(problem.wiring, problem.wiring.sizes)
    limits: list[dict[str, float]] = []
    times: dict[int, Steered] = {}
    table = None
    for number, budget in enumerate(budgets):
        others = {k: v for k, v in asdict(budget).items() if v is not None and k != "latency_ms"}
        allowed = dict(Budget(**others).limits(whole)) if others else {}
        if budget.latency_ms is not None:
            tell("latency", number, len(budgets))
            if not problem.menus.widths:
                raise InputError("a budget of latency is kept by widths; give a space with widths=True")
            table = table or latency_table(problem.wiring, problem.menus.widths, round_to=problem.round_to)
            times[number] = steered(
                problem,
                partial(_latency_limit, budget, whole),
                partial(_divided, problem, allowed, seed),
                table,
                engine=engine,
            )
            allowed["macs"] = min(allowed.get("macs", float("inf")), times[number].macs)
        limits.append(allowed)
    return tuple(limits), times


def _divided(problem: Problem, limits: Mapping[str, float], seed: int, macs: float) -> Structure | None:
    return divided(problem, {**limits, "macs": macs}, (), None, {}, Random(seed))


def _latency_limit(budget: Budget, whole: Cost, original_ms: float) -> float:
    return budget.limits(replace(whole, latency_ms=original_ms))["latency_ms"]


def _evidence(
    wiring: Wiring, space: Space, menus: Menus, repair: Sequence[Any], mask: Mask | None, seed: int, tell: Progress
) -> tuple[Curves | None, dict[str, float]]:
    """Error curves of the axes on the menus, and influence of the blocks."""
    curves, weights = None, {}
    if menus.widths:
        offered = {axis for menu in menus.widths for axis in menu.axes}
        others = [axis.name for axis in wiring.axes if axis.name not in offered]
        curves = measure_curves(
            wiring,
            repair,
            round_to=space.round_to,
            ignore=others,
            cut=space.cut,
            mask=mask,
            seed=seed,
            progress=telling(tell, "curves"),
        )
    if menus.blocks:
        weights = influence(wiring, repair, blocks=list(menus.blocks), progress=telling(tell, "influence"))
    return curves, weights


def _split(wiring: Wiring, data: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """Batches to repair with, the same for all candidates, and others to compare outputs on."""
    batches = calibration_batches(data, most_examples=_REPAIR + _HELD_OUT, device=device_of(wiring.model))
    if len(batches) < 2:
        return batches, batches
    whole = sum(examples_in(inputs) for inputs in batches)
    held_out: list[Any] = []
    while len(batches) > 1 and sum(examples_in(inputs) for inputs in held_out) < min(_HELD_OUT, whole // 5):
        held_out.insert(0, batches.pop())
    return batches, held_out


def _objective(
    scores: Mapping[str, float], evaluate: Evaluate | None, maximize: str | None, minimize: str | None
) -> tuple[str, bool]:
    """Name of the score that decides, and whether higher is better."""
    if evaluate is None:
        return "divergence", False
    name = maximize or minimize or next(iter(scores))
    if name not in scores:
        raise UnknownNameError(f"evaluate gives no score {name!r}; it gives {', '.join(scores)}")
    return name, minimize is None


def _value(objective: str, higher: bool) -> Callable[[Mapping[str, float]], float]:
    def value(scores: Mapping[str, float]) -> float:
        found = scores[objective] if higher else -scores[objective]
        return found if found == found else float("-inf")

    return value


def _strategies(given: Any) -> list[tuple[str, Strategy]]:
    each = [given] if isinstance(given, str) or callable(given) else list(given)
    found: list[tuple[str, Strategy]] = []
    for one in each:
        if isinstance(one, str) and one not in STRATEGIES:
            raise UnknownNameError(
                f"there is no strategy {one!r}; there are {', '.join(STRATEGIES)}, or give a function"
            )
        found.append((one, STRATEGIES[one]) if isinstance(one, str) else (getattr(one, "__name__", "custom"), one))
    return found


def _checked(
    model: Any, data: Any, budgets: Any, evaluate: Any, heal: Any, numbers: Mapping[str, Any]
) -> tuple[Budget, ...]:
    check_model(model)
    wanted = (budgets,) if isinstance(budgets, Budget) else tuple(budgets) if isinstance(budgets, Sequence) else ()
    wrong = [each for each in wanted if not isinstance(each, Budget)]
    if not wanted or wrong:
        raise InputError(f"budgets={budgets!r:.80}; give one or several, e.g. [Budget(macs=0.5), Budget(macs=0.25)]")
    if isinstance(data, Iterator):
        raise InputError("data is an iterator that can be gone through once; give a list of batches or a DataLoader")
    if evaluate is not None and not callable(evaluate):
        raise InputError(f"evaluate is a {type(evaluate).__name__}; give a function model -> score or scores by name")
    if heal is not None and not callable(heal) and (not isinstance(heal, int) or isinstance(heal, bool) or heal < 1):
        raise InputError(
            f"heal={heal!r}: give a number of epochs ≥ 1, a function (edited, original) -> trained, or None"
        )
    for name, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < (0 if name == "seed" else 1):
            raise InputError(f"{name}={value!r} must be an int ≥ {0 if name == 'seed' else 1}")
    return wanted


def _digest_of(wiring: Wiring) -> str:
    return _digest([slot.tensor for slot in tensor_slots(wiring.model)])


def _digest(values: Any) -> str:
    """SHA-256 of the bytes of tensors, in order."""
    found = hashlib.sha256()
    for tensor in tensors_in(values):
        flat = tensor.detach().cpu().contiguous().flatten()
        found.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return found.hexdigest()
