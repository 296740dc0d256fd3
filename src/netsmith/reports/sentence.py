"""The result of a run in one sentence."""

from __future__ import annotations

from .numbers import compact, percent, score_text, share
from .record import CostRecord, RunRecord, StepRecord
from .run_engines import fastest


def result_sentence(run: RunRecord) -> str:
    """What came of a run, in plain words with figures; what was not measured is not spoken of."""
    measured = [step for step in run.steps if step.cost is not None]
    parts = [_tried(run)] if run.candidates else []
    if len(measured) > 1:
        parts += [_costs(measured[0], measured[-1]), _scores(measured[0], measured[-1])]
    parts.append(_engine(run))
    parts.append(_proof(run))
    said = "; ".join(part for part in parts if part)
    return f"{said[:1].upper()}{said[1:]}." if said else "Nothing was measured."


def result_of(run: RunRecord) -> StepRecord | None:
    """The last step that was measured; None where none was."""
    return next((step for step in reversed(run.steps) if step.cost is not None), None)


def original_of(run: RunRecord) -> StepRecord | None:
    """The first step that was measured; None where none was."""
    return next((step for step in run.steps if step.cost is not None), None)


def _tried(run: RunRecord) -> str:
    front = sum(candidate.on_front for candidate in run.candidates)
    chosen = [candidate.name for candidate in run.candidates if candidate.chosen]
    text = f"{len(run.candidates):,} structures were tried, and {front:,} of them stand on the front"
    return text + (f"; {chosen[0]} was chosen" if chosen else "")


def _costs(first: StepRecord, last: StepRecord) -> str:
    before, after = _cost(first), _cost(last)
    parts = [
        _part("multiply-accumulates", before.macs, after.macs),
        _part("parameters", before.params, after.params),
        _part("bytes", before.bytes, after.bytes),
    ]
    changed = [part for part in parts if part]
    text = _listed(changed) if changed else "size and multiply-accumulates are what they were"
    if before.latency_ms and after.latency_ms is not None:
        text += f", and a call takes {after.latency_ms:.2f} ms (before: {before.latency_ms:.2f} ms)"
    return text


def _part(what: str, before: int, after: int) -> str:
    fraction = share(after, before)
    if fraction is None or before == after:
        return ""
    amount = f"{compact(before).rstrip()} → {compact(after).rstrip()}"
    return f"{percent(fraction)} of the {what} ({amount})"


def _scores(first: StepRecord, last: StepRecord) -> str:
    both = [name for name in last.scores if name in first.scores]
    return _listed(
        [
            f"{name} is {score_text(last.scores[name])} ({_change(first.scores[name], last.scores[name])})"
            for name in both
        ]
    )


def _change(before: float, after: float) -> str:
    return "unchanged" if before == after else f"before: {score_text(before)}, {after - before:+.4f}"


def _engine(run: RunRecord) -> str:
    best = fastest(run.engines)
    if best is None:
        return ""
    examples = "one example" if best.batch == 1 else f"{best.batch:,} examples"
    return f"it is fastest here with {best.engine} in {best.precision} ({best.result_ms:.2f} ms for {examples})"


def _proof(run: RunRecord) -> str:
    checks = [check for step in run.steps for check in step.checks]
    failed = list(dict.fromkeys(check.name for check in checks if check.status == "failed"))
    if failed:
        return f"verify found that the result BREAKS its promise ({', '.join(failed)})"
    return "every promise that verify checked holds" if checks else "nothing was verified"


def _cost(step: StepRecord) -> CostRecord:
    assert step.cost is not None  # only measured steps come here
    return step.cost


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + f" and {parts[-1]}" if parts else ""
