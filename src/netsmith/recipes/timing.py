"""``evaluate: {engines: ...}``: the original and the model under other engines, for the record and in sentences."""

from __future__ import annotations

from typing import Any

from ..costs import compare_engines, measure
from ..costs.engines import ENGINES
from ..costs.free_batch import batch_size
from ..reports import engine_notes
from ..reports.filling import engines_of
from .reading import ORIGINAL
from .schema import Evaluate
from .work import State, Tell, Work


def timed_engines(work: Work, options: Evaluate, start: State, tell: Tell) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows for ``run.json``, and what follows from them: the fastest form, and where time did not follow size."""
    models = {"original": work.opened.model}
    if start.name != ORIGINAL:
        models["result"] = start.model
    data = work.recipe.head.data if options.int8 else None
    timings = compare_engines(
        models,
        work.example_inputs,
        engines=tuple(ENGINES) if "all" in options.engines else options.engines,
        calibration=None if data is None else work.read(data, shuffle=True),
        progress=lambda done, total, what: tell(f"time {what}", done, total),
    )
    names = list(models)
    rows = engines_of(timings, batch=batch_size(work.example_inputs), original=names[0], result=names[-1])
    costs = {name: measure(model, work.example_inputs) for name, model in models.items()}
    return [row.model_dump(mode="json") for row in rows], engine_notes(timings, costs)
