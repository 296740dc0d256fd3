"""The step ``search``: the best structure under a budget, and every candidate for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import save
from ..files.folder import new_folder
from ..sources.saved import SOURCE, source_text
from .chaining import Earlier
from .doing import checks_of
from .metrics import LOWER
from .reading import ORIGINAL, NamedStep
from .schema import Search
from .search import search
from .step_folder import CHECKPOINTS, STEPS
from .study import Study
from .work import Done, State, Tell, Work

STUDY = "study"


def search_structures(work: Work, step: NamedStep, start: State, key: str, tell: Tell) -> Done:
    """A search that was interrupted goes on; its trials are kept until the step is finished.

    Raises:
        InputError: there is nothing to compare structures on.
    """
    assert isinstance(step.options, Search)
    options = step.options
    if work.measure is None:
        raise InputError("structures are compared on labelled data that they were not repaired with; give eval:")
    metric: Any = work.measure.metric
    score = next(iter(work.measure(start.model)))
    better: dict[str, Any] = {"minimize" if score in LOWER else "maximize": score}
    study = search(
        start.model,
        work.example_inputs,
        data=work.needed(options),
        budgets=[limits.budget() for limits in options.budgets],
        evaluate=partial(metric, batches=work.measure.batches),
        space=options.space.space(),
        strategy=options.strategy,
        trials=options.trials,
        time=options.time,
        heal=options.heal,
        finalists=options.finalists,
        seed=work.seed,
        storage=work.folder / STEPS / CHECKPOINTS / key,
        workers=options.workers,
        ray=options.ray,
        engine=options.engine,
        progress=tell,
        **better,
    )
    if start.name != ORIGINAL:
        study = replace(study, earlier=Earlier(work.opened.model, start.chain))
    best = study.best()
    result = study.build(best)
    plan = result.plan
    text = source_text(work.source, work.digest)

    def keep(folder: Path, beside: Mapping[str, str]) -> None:
        with new_folder(folder) as staged:
            save(result.model, staged, plan=plan, beside={**beside, SOURCE: text})
            study.save(staged / STUDY, title=step.name, model=work.source.model, beside={SOURCE: text})

    said = f"{len(study.candidates)} structures tried; {best.name} is the best under the first budget"
    checks = checks_of(result.verdict)
    return Done(result.model, plan, result.steps, checks, _told(study), (said,), dict(plan.left), save=keep)


def _told(study: Study) -> dict[str, Any]:
    record = study.record()
    candidates = [candidate.model_dump(mode="json") for candidate in record.candidates]
    return {"candidates": candidates, "objectives": list(record.objectives), "influence": dict(study.influence)}
