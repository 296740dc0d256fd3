"""``search``: the best structure under each budget, with weights from the parent."""

from __future__ import annotations

import time as clock
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from ..costs import predict
from ..errors import InputError
from ..evidence.masks import Mask
from ..plans import Budget
from ..plans.budget import check_saving
from ..searches import Curves, measure_curves
from ..searches.candidate import Candidate
from ..searches.choice_influence import choice_influence
from ..searches.problem import Problem
from ..searches.referee import Referee
from ..searches.space import Menus, Space, find_menus
from ..searches.strategies import Strategy
from ..searches.structure import Structure
from ..searches.trials import Outcome, Runner, Store, Trial, digest
from ..searches.trials.storages import JOURNAL, SQLITE
from ..wiring import Wiring, tensor_slots, trace
from .finalists import judge_finalists, time_finalists
from .judging import Heal, Workbench
from .search_inputs import checked, digest_of, objective_of, split, strategies_of, value_of
from .search_limits import limits_of
from .steps import Evaluate, Progress, scores_of, telling
from .study import Study


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
        budgets: what results may cost; one or several. Shares above 100 % only where ``space`` has growth.
        evaluate: called with a model in eval mode, returns a score, or several by name. Choose on validation data.
            None: how far the outputs are from the original's.
        space: what may change; None: widths.
        strategy: "allocation", "evolution", "tpe", "nsga2", "random", "uniform", or a function
            ``(problem, judge, trials, seed) -> None`` as in ``netsmith.searches.strategies``; or several, one after the
            other, each with as many trials.
        trials: structures judged in all by a strategy, shared among the budgets; finalists come on top.
        time: seconds after which no further generation is begun. What is found then depends on the machine's speed.
        heal: epochs of distillation from the model on ``data``, or ``(edited, original) -> trained``, for finalists,
            after their layers are refitted together, and for the best of them also without that; kept where the score
            is no worse for it. None: nothing is trained.
        finalists: how many of each budget and strategy are healed, ≥ 1.
        maximize, minimize: name of the score that decides; None: the first that ``evaluate`` gives, higher is better.
        mask: as in ``shrink``.
        seed: of everything drawn at random.
        storage: where outcomes are kept, so that a killed search goes on where it was, and several processes share one:
            a folder, which also holds the healed models, a .db or .journal file, or the URL of a database.
        workers: processes. Results do not depend on their number.
        ray: address of a Ray cluster, or "local".
        engine: in which the time of latency budgets is measured: "eager", "compile", "onnxruntime" or "openvino".
        progress: called with (what is being done, done, in all).

    Returns:
        The study: candidates, front, and any of them as a model.

    Raises:
        InputError, BudgetError, EvidenceError, UnknownNameError, CaptureError, ModelError, FileError,
            MissingExtraError: see their messages.

    Example:
        >>> study = netsmith.search(  # doctest: +SKIP
        ...     model, x, data=batches, budgets=[Budget(macs=0.5), Budget(macs=0.25)], evaluate=accuracy, heal=5
        ... )
        >>> small = study.build(study.best(Budget(macs=0.25))).model  # doctest: +SKIP
    """
    start = clock.monotonic()
    numbers = {"trials": trials, "finalists": finalists, "workers": workers, "seed": seed}
    wanted = checked(model, data, budgets, evaluate, heal, numbers)
    strategies = strategies_of(strategy)
    tell = progress or (lambda what, done, total: None)
    tell("trace", 0, 1)
    wiring = trace(model, example_inputs)
    space = Space() if space is None else space
    menus = find_menus(wiring, space)
    for budget in () if space.growth else wanted:
        check_saving(budget)
    tell("evaluate", 0, 1)
    scores = scores_of(evaluate, model) or {"divergence": 0.0}
    objective, higher = objective_of(scores, evaluate, maximize, minimize)
    value = value_of(objective, higher)
    repair, held_out = split(wiring, data)
    curves, weights = _evidence(wiring, space, menus, repair, mask, seed, tell)
    problem = Problem(wiring, menus, (), curves, weights, space.round_to)
    limits, times = limits_of(problem, wanted, engine, seed, tell)
    problem = replace(problem, limits=limits)
    whole = predict(wiring, wiring.sizes)
    if times:
        whole = replace(whole, latency_ms=next(iter(times.values())).original_ms)
    original = Candidate("original", "original", Structure(), whole, value(scores), scores, 0.0)
    where, models = _kept(storage)
    ranks = {} if curves is None else curves.ranks
    bench = Workbench(
        model,
        example_inputs,
        menus,
        ranks,
        repair,
        held_out,
        evaluate,
        objective,
        higher,
        heal,
        data,
        space.round_to,
        mask,
        seed,
        models,
    )
    asked = {
        "budgets": [{k: v for k, v in asdict(budget).items() if v is not None} for budget in wanted],
        "space": asdict(space),
        "strategy": [name for name, _ in strategies],
        "trials": trials,
        "heal": heal if isinstance(heal, int) or heal is None else getattr(heal, "__name__", type(heal).__name__),
        "finalists": finalists,
        "objective": objective,
        "engine": engine,
        "seed": seed,
    }
    tensors = [slot.tensor for slot in tensor_slots(model)]
    decisive = {key: asked[key] for key in ("space", "heal", "objective", "seed")}
    about = digest({**decisive, "scores": dict(scores), "weights": digest_of(tensors), "data": digest_of(repair)})
    store = None if where is None else Store(where, about)
    with Runner(bench, workers=workers, ray=ray, store=store) as runner:

        def run(batch: Sequence[Trial]) -> list[Outcome]:
            return runner.run(batch, telling(tell, "trial"))

        referee = Referee(problem, run, about, value, None if time is None else start + time)
        for number, (name, propose) in enumerate(strategies):
            tell("search", number, len(strategies))
            referee.begin(name, trials)
            propose(problem, referee.judge, trials, seed)
        tell("finalists", 0, 1)
        judge_finalists(referee, [name for name, _ in strategies], finalists, heal is not None, seed, times)
    time_finalists(referee, bench, times)
    seconds = clock.monotonic() - start
    found = tuple(referee.candidates)
    return Study(
        original, found, wanted, objective, higher, asked, menus, referee.specs, bench, seconds, times, weights
    )


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
        weights = choice_influence(wiring, repair, menus.blocks, progress=telling(tell, "influence"))
    return curves, weights


def _kept(storage: str | Path | None) -> tuple[str | Path | None, Path | None]:
    """Where trials are kept, and healed models; a folder holds both."""
    if storage is None or "://" in str(storage) or Path(storage).suffix.lower() in (*SQLITE, *JOURNAL):
        return storage, None
    folder = Path(storage)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"storage={str(storage)!r} is no folder that can be made ({error.strerror})") from error
    return folder / "trials.db", folder / "models"
