"""``load_ensemble``: the caller's builders, the file's structure and weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from .. import __version__
from ..combining.ensembles import Additive, Cascade, Ensemble, Mixture, Parallel, Stack, TreeEnsemble
from ..errors import FileError, InputError, PlanError
from .ensemble_saving import ENSEMBLE, GATE
from .ensemble_schema import (
    FORMAT,
    VERSION,
    AdditiveEntry,
    BuiltEntry,
    CascadeEntry,
    EnsembleEntry,
    Group,
    MixtureEntry,
    ParallelEntry,
    StackEntry,
    TreesEntry,
)
from .loading import build_original, check_weights_file, replayed
from .plan_file import MAX_BYTES, checksum, plan_from_json, values_of
from .saving import WEIGHTS
from .weights import put_weights, read_weights

Builder = Callable[[], nn.Module]


def load_ensemble(path: str | os.PathLike[str], builders: Mapping[str, Builder] | Builder | None = None) -> Ensemble:
    """Read an ensemble that ``save_ensemble`` wrote: its outputs are bit-equal on the same machine.

    As with ``netsmith.load``, no pickle is read and no name in the files is imported.

    Args:
        path: the folder.
        builders: name of a member -> a function without arguments that returns it as it was before its plan, with
            any weights; a member of an ensemble inside goes by ``outer/inner``, a mixture's own gate by ``gate``. One
            function serves all members of one architecture. Trees need none.

    Returns:
        The ensemble on the CPU, in eval mode.

    Raises:
        FileError: a file is missing, truncated, edited, or does not fit the members; the message says which.
        PlanError: a member's plan was made for another model than the one that its builder makes.
        InputError: a builder is missing, is not needed, raises, or returns no ``nn.Module``.

    Example:
        >>> model = load_ensemble("out/both", {"small": cifar_resnet, "large": build_56})  # doctest: +SKIP
    """
    folder = Path(path)
    entry = _read(folder)
    check_weights_file(folder / WEIGHTS, entry.weights, ENSEMBLE)
    wanted = _builders(entry.ensemble, "")
    given = {name: builders for name in wanted} if callable(builders) else dict(builders or {})
    if given.keys() != wanted.keys():
        listing = "\n".join(f"  {name!r}: {made_by}" for name, made_by in wanted.items())
        raise InputError(
            f"{folder}: builders are given for {', '.join(map(repr, given)) or 'no member'}; needed is one for each of"
            f"\n{listing or '  (none)'}\ne.g. load_ensemble(path, {{name: lambda: MyNetwork(...), ...}})"
        )
    model = _group(entry.ensemble, "", given, folder)
    tensors = read_weights(folder / WEIGHTS, entry.weights.dim_orders)
    put_weights(model, tensors, entry.weights.aliases, folder / WEIGHTS)
    if isinstance(model, Parallel) and isinstance(entry.ensemble, ParallelEntry) and entry.ensemble.batched:
        model = model.batched()
    return model.eval()


def members_to_build(path: str | os.PathLike[str]) -> dict[str, str]:
    """Name -> class of every member for which ``load_ensemble`` wants a builder. Raises FileError as it does."""
    return _builders(_read(Path(path)).ensemble, "")


def _read(folder: Path) -> EnsembleEntry:
    path = folder / ENSEMBLE
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise FileError(f"{path}: {size:,} bytes; no ensemble.json is larger than {MAX_BYTES:,}")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: cannot be read ({error}). Give a folder that save_ensemble wrote.") from error
    values = values_of(text, str(path))
    if not isinstance(values, dict) or values.get("format") != FORMAT or values.get("version") != VERSION:
        raise FileError(f"{path}: no {FORMAT} of version {VERSION}, which netsmith {__version__} reads")
    try:
        entry = EnsembleEntry.model_validate(values)
    except (ValidationError, RecursionError) as error:
        raise FileError(f"{path}: not what an ensemble.json holds: {_first_fault(error)}. Save it again.") from error
    if checksum({key: value for key, value in values.items() if key != "checksum"}) != entry.checksum:
        raise FileError(f'{path}: field "checksum" does not fit the rest of the file; it was changed. Save it again.')
    return entry


def _first_fault(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "ensembles nested too deep"
    fault = error.errors(include_url=False, include_input=False)[0]
    return ascii(".".join(str(part)[:60] for part in fault["loc"])).strip("'") + ": " + fault["msg"]


def _builders(entry: Group, prefix: str) -> dict[str, str]:
    """Name -> class of every member that the caller has to build."""
    found: dict[str, str] = {}
    for name, member in entry.members.items():
        if isinstance(member, BuiltEntry):
            found[prefix + name] = member.made_by
        elif not isinstance(member, TreesEntry):
            found |= _builders(member, f"{prefix}{name}/")
    if isinstance(entry, MixtureEntry) and entry.gate is not None:
        found[prefix + GATE] = entry.gate.made_by
    return found


def _group(entry: Group, prefix: str, builders: Mapping[str, Builder], folder: Path) -> Ensemble:
    members: dict[str, nn.Module] = {}
    for name, member in entry.members.items():
        if isinstance(member, BuiltEntry):
            members[name] = _built(member, prefix + name, builders, folder)
        elif isinstance(member, TreesEntry):
            with torch.device("meta"):  # sizes are the file's own claim until put_weights has compared them
                members[name] = TreeEnsemble(**member.model_dump(exclude={"kind"}))
        else:
            members[name] = _group(member, f"{prefix}{name}/", builders, folder)
    count = len(members)
    if isinstance(entry, ParallelEntry):
        return Parallel(members, entry.rule, torch.zeros(count))
    if isinstance(entry, AdditiveEntry):
        return Additive(members, torch.zeros(count), torch.zeros(entry.classes, device="meta"))
    if isinstance(entry, CascadeEntry):
        return Cascade(members, entry.measure, entry.combine, torch.ones(count), torch.zeros(count - 1))
    if isinstance(entry, StackEntry):
        return Stack(members, entry.features, nn.Linear(entry.inputs, entry.outputs, device="meta"))
    gate, reads = _gate(entry, count, prefix, builders, folder)
    return Mixture(members, gate, reads)


def _gate(entry: MixtureEntry, count: int, prefix: str, builders: Any, folder: Path) -> tuple[nn.Module, str]:
    if entry.gate is not None:
        return _built(entry.gate, prefix + GATE, builders, folder), "input"
    if entry.linear is None:
        raise FileError(f"{folder / ENSEMBLE}: a mixture without a gate. Save it again.")
    return nn.Linear(entry.linear, count, device="meta"), "scores"


def _built(entry: BuiltEntry, name: str, builders: Mapping[str, Builder], folder: Path) -> nn.Module:
    build = builders[name]
    if not callable(build) or isinstance(build, nn.Module):
        raise InputError(f"the builder of {name!r} is a {type(build).__name__}; give a function without arguments")
    try:
        original = build_original(build)
        if entry.plan is None:
            return original
        return replayed(plan_from_json(entry.plan, f"{folder / ENSEMBLE} {name}"), original, folder / ENSEMBLE)
    except (PlanError, InputError) as error:
        raise type(error)(f"member {name!r}: {error}") from error
