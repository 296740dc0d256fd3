"""Plans as JSON: versioned, checked field by field, with a checksum; never a pickle.

The checksum tells an edited file from the one that netsmith wrote: a plan with another unit in ``keep`` would fit the
weights as well, and be wrong. It guards against accidents; it is no signature.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .. import __version__
from ..errors import FileError, PlanError
from ..plans.plan import Plan
from ..wiring.layouts import layout_size
from .edit_schema import KINDS, SparsifyEntry, edit_to_json
from .layout_codec import MAX_UNITS, encode_layout
from .plan_schema import FORMAT, VERSION, PlanEntry, StepEntry, WeightsEntry

MAX_BYTES = 256 * 2**20  # a plan lists kept units: some 30 MB for every hidden unit of a 400B model
_MAX_MASKED = 2**34  # weights of all masks: 2 GiB of bits, more than a file of that size holds of any real mask
_MAX_FAULTS = 5
_MEND = (
    "The file was changed or damaged after netsmith wrote it: restore it, or save the model again with netsmith.save."
)


def _plain(number: float) -> float:
    """Without the memory of where it came from."""
    return float(number) if isinstance(number, float) else int(number)


def plan_to_json(plan: Plan, weights: WeightsEntry | None = None) -> dict[str, Any]:
    """The plan as JSON values, with format, version and checksum. ``weights`` says how the tensors beside it lie."""
    record: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "netsmith": __version__,
        **_step_json(plan),
        "before": [_step_json(step) for step in plan.before],
        "weights": None if weights is None else weights.model_dump(),
    }
    record["checksum"] = checksum(record)
    return record


def _step_json(plan: Plan) -> dict[str, Any]:
    return {
        "fingerprint": plan.fingerprint,
        "edits": [edit_to_json(edit) for edit in plan.edits],
        "sizes": {axis: int(size) for axis, size in plan.sizes.items()},
        "layouts": {name: [encode_layout(layout) for layout in dims] for name, dims in plan.layouts.items()},
        "attributes": {key: [_plain(before), _plain(after)] for key, (before, after) in plan.attributes.items()},
        "refitted": sorted(plan.refitted),
        "left": {name: " ".join(why.split())[:1000] for name, why in plan.left.items()},
    }


def plan_from_json(raw: dict[str, Any] | str, where: str = "plan.json") -> Plan:
    """The plan that JSON text, or the values parsed from it, describe.

    Args:
        raw: what ``plan_to_json`` returned, or its text.
        where: what to call the source in error messages.

    Raises:
        FileError: no JSON, another format or version, a field that is missing, unknown, of the wrong type or out of
            range, a plan that contradicts itself, or a checksum that does not fit; all faults of one kind at once.
    """
    return _plan(parse(raw, where), where)


def read_plan_file(path: Path) -> tuple[Plan, WeightsEntry | None]:
    """The plan in a file, and how the weights beside it lie.

    Raises:
        FileError: as ``plan_from_json``; also a file that is missing, unreadable, too large or no UTF-8 text.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise FileError(f"{path}: {size:,} bytes; no plan is larger than {MAX_BYTES:,}. {_MEND}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}). Give a folder that netsmith saved.") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: no UTF-8 text at byte {error.start}. {_MEND}") from error
    entry = parse(text, str(path))
    return _plan(entry, str(path)), entry.weights


def parse(raw: dict[str, Any] | str, where: str) -> PlanEntry:
    """The checked fields of a plan file, before they become a Plan. Raises FileError."""
    values = values_of(raw, where) if isinstance(raw, str) else raw
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise FileError(f'{where}: field "format" is not "{FORMAT}", so this is no netsmith plan. {_MEND}')
    if values.get("version") not in (1, 2, VERSION):
        raise FileError(
            f'{where}: field "version" is {values.get("version")!r}; netsmith {__version__} reads '
            f"versions 1 to {VERSION}.\n"
            f"Load it with the netsmith that wrote it ({str(values.get('netsmith'))[:40]!r}), or save the model again."
        )
    try:
        entry = PlanEntry.model_validate(values)
    except ValidationError as error:
        raise FileError(_faults(error, where)) from error
    if checksum({key: value for key, value in values.items() if key != "checksum"}) != entry.checksum:
        raise FileError(f'{where}: field "checksum" does not fit the rest of the file. {_MEND}')
    return entry


def checksum(record: dict[str, Any]) -> str:
    """SHA-256 of the fields in one canonical spelling (sorted keys, no spaces)."""
    return hashlib.sha256(json.dumps(record, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def spell(record: dict[str, Any]) -> str:
    """JSON text with one entry of each field a line: short enough to read, and a diff shows what changed."""
    lines = []
    for key, value in record.items():
        if isinstance(value, dict) and value and key != "weights":
            items = [f"    {json.dumps(name)}: {json.dumps(item)}" for name, item in value.items()]
            lines.append(f"  {json.dumps(key)}: {{\n" + ",\n".join(items) + "\n  }")
        elif isinstance(value, list) and value:
            lines.append(
                f"  {json.dumps(key)}: [\n" + ",\n".join(f"    {json.dumps(item)}" for item in value) + "\n  ]"
            )
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def values_of(text: str, where: str) -> Any:
    """The values of JSON text in which no field occurs twice. Raises FileError."""
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates)
    except json.JSONDecodeError as error:
        message = f"no complete JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except RecursionError:
        message = "JSON nested deeper than any plan"
    except ValueError as error:  # a repeated field, or an integer of thousands of digits
        message = f"no plan: {error}"
    raise FileError(f"{where}: {message}. {_MEND}")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"field {twice[:60]!r} occurs twice")
    return result


def _plan(entry: PlanEntry, where: str) -> Plan:
    edits = [edit for step in (*entry.before, entry) for edit in step.edits]
    if sum(prod(edit.shape) for edit in edits if isinstance(edit, SparsifyEntry)) > _MAX_MASKED:
        raise FileError(f'{where}: masks of more than {_MAX_MASKED:,} weights in field "edits". {_MEND}')
    try:
        before = tuple(_step(step) for step in entry.before)
        plan = replace(_step(entry), before=before)
    except PlanError as error:
        raise FileError(f"{where}: the plan contradicts itself: {error}. {_MEND}") from error
    for step in plan.steps:
        for name, layouts in step.layouts.items():
            if any(layout_size(layout, step.sizes) > MAX_UNITS for layout in layouts):
                raise FileError(f'{where}: field "layouts.{name}" makes a dimension of more than {MAX_UNITS}. {_MEND}')
    return plan


def _step(entry: StepEntry) -> Plan:
    return Plan(
        edits=tuple(each.edit() for each in entry.edits),
        sizes=dict(entry.sizes),
        layouts={name: tuple(dims) for name, dims in entry.layouts.items()},
        attributes={key: (before, after) for key, (before, after) in entry.attributes.items()},
        fingerprint=entry.fingerprint,
        refitted=frozenset(entry.refitted),
        left=dict(entry.left),
    )


def _faults(error: ValidationError, where: str) -> str:
    """All faults, each with its field."""
    faults = error.errors(include_url=False, include_input=False)
    lines = [f"  {_field(fault['loc'])}: {fault['msg']}" for fault in faults[:_MAX_FAULTS]]
    if len(faults) > _MAX_FAULTS:
        lines.append(f"  and {len(faults) - _MAX_FAULTS} more")
    count = "one field is" if len(faults) == 1 else f"{len(faults)} fields are"
    return f"{where}: {count} not what a plan holds:\n" + "\n".join(lines) + f"\n{_MEND}"


def _field(location: tuple[int | str, ...]) -> str:
    """The path of a field, e.g. "edits.0.keep". Names come from the file: no control characters reach a terminal."""
    shown = [part for i, part in enumerate(location) if part not in KINDS or not isinstance(location[i - 1], int)]
    path = ".".join(str(part)[:60] for part in shown)
    return path if path.isprintable() else ascii(path)
