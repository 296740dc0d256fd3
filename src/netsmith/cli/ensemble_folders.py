"""DIR, or DIR,NAME=MODEL,...: what ``netsmith ensemble`` wrote, as a model of any command.

``members.json`` in the folder says how each member is built. Members that are code of their own are only built if the
user names that code again: a folder from a stranger can run nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FileError, InputError, UnknownNameError
from .members import MEMBERS, VERSION, MemberSource
from .models import ModelSource, OpenModel, build_structure, open_model
from .saved import checked_source, is_harmless

if TYPE_CHECKING:
    from ..combining.ensembles import Ensemble

_FOLDER_MARK = "ensemble.json"


def is_ensemble(text: str) -> bool:
    """Whether a MODEL names a folder with an ensemble in it."""
    return (Path(text.partition(",")[0]) / _FOLDER_MARK).is_file()


def with_members(folder: Path, model: str | None) -> str:
    """DIR and what ``--model NAME=MODEL,...`` says of its members, as one MODEL."""
    return str(folder) if model is None else f"{folder},{model}"


def open_ensemble(source: ModelSource) -> OpenModel:
    """Load an ensemble, and make inputs that fit its first member.

    Raises:
        InputError: weights beside a folder that has its own, or text that is no NAME=MODEL.
        UnknownNameError: a NAME that is no member.
        FileError: a file is missing or changed, or a member is code of its own that was not named again.
    """
    if source.weights is not None:
        raise InputError(f"{source.model} holds the weights of its members; leave out the weights")
    members = ensemble_sources(source)
    model = load_members(source, members)
    first = next(iter(members.values())).source
    first = replace(first, weights=None, input=source.input or first.input, seed=source.seed)
    return OpenModel(model, open_model(first).example_inputs)


def load_members(source: ModelSource, members: Mapping[str, MemberSource]) -> Ensemble:
    """The ensemble of the folder, its members built as ``members`` says."""
    from ..files import load_ensemble

    folder = Path(source.model.partition(",")[0])
    return load_ensemble(folder, {name: partial(build_structure, m.source) for name, m in members.items()})


def ensemble_sources(source: ModelSource) -> dict[str, MemberSource]:
    """Name -> how it is built, of the members that the ensemble uses. Raises as ``open_ensemble``."""
    from ..files import members_to_build

    text, *given = source.model.split(",")
    folder = Path(text)
    named = dict(_named(each) for each in given)
    listed = _read(folder / MEMBERS)
    used = members_to_build(folder)
    if missing := [name for name in used if name not in listed]:
        raise FileError(f"{folder / MEMBERS} says nothing of {', '.join(missing)}; load it with netsmith.files instead")
    if unknown := named.keys() - listed.keys():
        raise UnknownNameError(f"{folder} has no member {min(unknown)!r}; it has {', '.join(listed)}")
    found = {}
    for name in used:
        member = listed[name]
        found[name] = replace(member, source=replace(member.source, model=named.get(name, member.source.model)))
    foreign = {n: m.source.model for n, m in found.items() if n not in named and not is_harmless(m.source.model)}
    if foreign:
        again = ",".join(f"{name}={model}" for name, model in foreign.items())
        raise FileError(
            f"{folder} was made from {', '.join(foreign.values())}, and to open it that code has to run.\n"
            f"If you trust it, name it: as MODEL  {folder},{again}  or beside DIR  --model {again}"
        )
    return found


def _named(text: str) -> tuple[str, str]:
    name, equals, model = text.partition("=")
    if not equals or not name or not model:
        raise InputError(f"{text!r} behind the folder of an ensemble: write NAME=MODEL for each member, with commas")
    return name, model


def _read(path: Path) -> dict[str, MemberSource]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(
            f"{path} cannot be read ({error}): it says how members are built. Give a folder that `netsmith ensemble` "
            "wrote, or load it with netsmith.files.load_ensemble"
        ) from error
    members: Any = content.get("members") if isinstance(content, dict) and content.get("version") == VERSION else None
    if not isinstance(members, dict) or not all(isinstance(each, dict) for each in members.values()):
        raise FileError(f"{path} is no {MEMBERS} of version {VERSION}")
    found = {}
    for name, each in members.items():
        folder = each.get("folder")
        if not isinstance(folder, str | None):
            raise FileError(f"{path}: the folder of {name!a} is of the wrong type; was the file changed by hand?")
        found[name] = MemberSource(checked_source(each, path), Path(folder) if folder else None)
    return found
