"""Does a saved ensemble hold its members as they are, and do changed members keep what their plans promised?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FileError
from .ensemble_folders import ensemble_sources, load_members, with_members
from .members import MemberSource
from .models import ModelSource, build_structure, open_model, state_digest
from .saved import read_source

if TYPE_CHECKING:
    from torch import nn

    from ..checks import Check, Verdict


def verify_ensemble(folder: Path, model: str | None) -> Verdict:
    """One check a member, and whether the whole runs.

    Args:
        folder: what ``netsmith ensemble`` wrote.
        model: NAME=MODEL,... of members that are code of their own.

    Raises:
        FileError: a member's weights or folder are no longer where they were. And as ``open_ensemble``.
    """
    from ..checks import Check, Verdict
    from ..combining.ensembles import Parallel
    from ..wiring import call_model

    source = ModelSource(with_members(folder, model))
    sources = ensemble_sources(source)
    ensemble = load_members(source, sources)
    apart = ensemble.side_by_side() if isinstance(ensemble, Parallel) else ensemble
    held = apart.named_members()
    checks = [check for name, each in sources.items() for check in _checks(name, held[name], each)]
    outputs = call_model(ensemble, open_model(source).example_inputs)
    shape, finite = tuple(outputs.shape), bool(outputs.isfinite().all())
    said = f"outputs of shape {shape}, {'finite' if finite else 'not finite'}"
    return Verdict((*checks, Check("runs", "ok" if finite else "failed", said)))


def _checks(name: str, held: nn.Module, member: MemberSource) -> list[Check]:
    from ..checks import Check, verify
    from ..files import load, load_plan

    if member.folder is None:
        return [_same(name, held, open_model(member.source).model, member.source.weights or member.source.model)]
    if not member.folder.is_dir():
        raise FileError(f"member {name!r}: the folder {member.folder} that it was made from is gone; put it back")
    given, digest = read_source(member.folder, model=member.source.model, weights=None)
    original = open_model(given)
    if state_digest(original.model) != digest:
        raise FileError(
            f"member {name!r}: {given.model} builds a model with other weights than the one that {member.folder} was "
            f"made from; verify that folder by itself:  netsmith verify {member.folder} --weights FILE"
        )
    kept = load(member.folder, lambda: build_structure(member.source))
    found = verify(original.model, held, load_plan(member.folder), original.example_inputs)
    promises = [Check(f"{name}: {check.name}", check.status, check.detail) for check in found.checks]
    return [_same(name, held, kept, str(member.folder)), *promises]


def _same(name: str, held: nn.Module, model: nn.Module, where: str) -> Check:
    from ..checks import Check

    if state_digest(held) == state_digest(model):
        return Check(f"{name}: weights", "exact", f"the tensors are those of {where}, bit by bit")
    return Check(f"{name}: weights", "failed", f"the tensors are not those of {where}")
