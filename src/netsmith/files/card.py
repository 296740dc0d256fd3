"""card.md: what a folder holds, for the person who finds it a year later."""

from __future__ import annotations

import math

import torch
from torch import nn

from .. import __version__
from ..plans.plan import Plan
from ..wiring import tensor_slots


def card_text(model: nn.Module, plan: Plan, *, name: str, notes: str | None = None) -> str:
    """The page beside the weights, in Markdown.

    Args:
        model: the edited model.
        plan: the plan that made it.
        name: of the folder, for the title and the example.
        notes: Markdown of the caller's, put under a heading of its own.
    """
    kind = type(model)
    sections = [
        f"# {_line(name)}",
        f"A {_code(kind.__qualname__)} of {_code(kind.__module__)}, changed by netsmith {__version__} "
        f"(torch {torch.__version__}): **{_size(model, plan)}**.",
        "## Load it",
        f"```python\nimport netsmith\n\n\ndef build():\n    return {_line(kind.__name__)}(...)"
        "  # the call that made the original model, before netsmith changed it\n\n\n"
        f"model = netsmith.load({_line(name)!r}, build)  # in eval mode, on the CPU\n```",
        "The structure comes from `build` and `plan.json`, the values from `model.safetensors`; no pickle is read.",
        "## What was changed",
        _edits(plan),
    ]
    if plan.refitted:
        sections.append(f"Tensors whose values were changed afterwards, by repair or training: {len(plan.refitted)}.")
    if notes:
        sections += ["## Notes", notes.strip()]
    return "\n\n".join(sections) + "\n"


def _edits(plan: Plan) -> str:
    kinds = (_blocks, _fusions, _widths, _tensors)
    parts = [part for step in plan.steps for kind in kinds if (part := kind(step))]
    return "\n\n".join(parts) or "Nothing: the plan is empty."


def _blocks(plan: Plan) -> str:
    if not plan.block_edits and not plan.insertions:
        return ""
    rows = ["| block | what became of it |", "|---|---|"]
    rows += [f"| {_code(edit.block)} | {edit.words} |" for edit in plan.insertions]
    for edit in plan.block_edits:
        rows.append(f"| {_code(edit.block)} | {edit.words} |")
    return "\n".join(rows)


def _fusions(plan: Plan) -> str:
    if not plan.fusions:
        return ""
    rows = ["| layer | computes exactly what these did |", "|---|---|"]
    rows += [f"| {_code(e.place)} | {_code(', '.join(e.layers))} |" for e in plan.fusions]
    return "\n".join(rows)


def _widths(plan: Plan) -> str:
    if plan.widenings:
        rows = ["| axis | before | after |", "|---|---:|---:|"]
        return "\n".join([*rows, *(f"| {_code(e.axis)} | {e.size:,} | {len(e.source):,} |" for e in plan.widenings)])
    if not plan.resizes:
        return ""
    rows = ["| axis | before | after | kept |", "|---|---:|---:|---:|"]
    for edit in plan.resizes:
        kept = len(edit.keep)
        rows.append(f"| {_code(edit.axis)} | {edit.size:,} | {kept:,} | {_percent(kept, edit.size)} |")
    return "\n".join(rows)


def _tensors(plan: Plan) -> str:
    """Weights that became integers, or partly zero."""
    if not plan.precisions and not plan.sparsities:
        return ""
    rows = ["| weight | what became of it |", "|---|---|"]
    for edit in plan.precisions:
        scales = f"a scale for {edit.group} inputs" if edit.group else "a scale an output"
        rows.append(f"| {_code(edit.tensor)} | int{edit.bits}, {scales}{', inputs rounded too' * edit.dynamic} |")
    for sparse in plan.sparsities:
        zeros, whole = sum(byte.bit_count() for byte in sparse.zeros), math.prod(sparse.shape)
        pattern = f" ({_line(sparse.pattern)})" if sparse.pattern else ""
        rows.append(f"| {_code(sparse.tensor)} | {zeros:,} of {whole:,} weights set to zero{pattern} |")
    needs = '\n\nLoading it takes torchao (`pip install "netsmith[quant]"`).' if plan.precisions else ""
    return "\n".join(rows) + needs


def _size(model: nn.Module, plan: Plan) -> str:
    """Parameters now and, where the plan tells, before."""
    before, after = _params(model, plan)
    if plan.before or plan.modules:  # a block's parameters are not in a plan
        return f"{after:,} parameters"
    return f"{after:,} of {before:,} parameters ({_percent(after, before)})"


def _params(model: nn.Module, plan: Plan) -> tuple[int, int]:
    """(before, after) the plan, tied parameters once."""
    parameters = {id(p): p for p in model.parameters()}
    names: dict[int, str] = {}  # of each parameter the name by which the plan knows it, if it does
    for slot in tensor_slots(model):
        if slot.name in plan.layouts or id(slot.tensor) not in names:
            names[id(slot.tensor)] = slot.name
    before = sum(
        math.prod(plan.shape_before(names[key])) if names[key] in plan.layouts else parameter.numel()
        for key, parameter in parameters.items()
    )
    return before, sum(parameter.numel() for parameter in parameters.values())


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "0 of 0"


def _line(text: str) -> str:
    return " ".join(text.split())


def _code(text: str) -> str:
    """The text as Markdown code that breaks neither a table nor out of its backticks."""
    return f"`{_line(text).replace('`', chr(39)).replace('|', chr(92) + '|')}`"
