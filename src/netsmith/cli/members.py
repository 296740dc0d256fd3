"""``[NAME=]MODEL[@FILE]`` and ``[NAME=]DIR`` -> the members of an ensemble."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .models import ModelSource, build_structure, open_model
from .saved import read_source

if TYPE_CHECKING:
    from torch import nn

    from ..plans import Plan

MEMBERS = "members.json"
VERSION = 1


@dataclass(frozen=True)
class MemberSource:
    """One member, as text that can be written down.

    Attributes:
        source: how the network is built; for a changed one, how its original was.
        folder: what netsmith saved of a changed network, or None.
    """

    source: ModelSource
    folder: Path | None


@dataclass(frozen=True)
class OpenMember:
    """A member in eval mode, inputs that fit it, and the plan that made it, if one did."""

    model: nn.Module
    example_inputs: Any
    plan: Plan | None


def parse_members(texts: Sequence[str], input: tuple[int, ...] | None, seed: int) -> dict[str, MemberSource]:
    """Name -> member; names that are not given come from the last word of what is.

    Raises:
        InputError: two members of one name.
        FileError: a folder that no netsmith command wrote, or whose original is code of its own.
    """
    found: dict[str, MemberSource] = {}
    for text in texts:
        given, equals, rest = text.partition("=")
        named = bool(equals) and re.fullmatch(r"[\w-]+", given) is not None
        model, _, weights = (rest if named else text).partition("@")
        name = given if named else _last_word(model)
        if name in found:
            raise InputError(f"two members are called {name!r}; give them names: NAME={text}")
        if Path(model).is_dir():
            source = read_source(Path(model), model=None, weights=None)[0]
            found[name] = MemberSource(replace(source, weights=None, input=input or source.input), Path(model))
        elif weights and Path(weights).is_dir():
            found[name] = MemberSource(ModelSource(model, None, input, seed), Path(weights))
        else:
            found[name] = MemberSource(ModelSource(model, weights or None, input, seed), None)
    return found


def open_member(member: MemberSource) -> OpenMember:
    """Build or load a member. Raises what ``open_model`` and ``netsmith.load`` do."""
    from ..files import load, load_plan

    opened = open_model(member.source)
    if member.folder is None:
        return OpenMember(opened.model, opened.example_inputs, None)
    model = load(member.folder, lambda: build_structure(member.source))
    return OpenMember(model, opened.example_inputs, load_plan(member.folder))


def members_text(members: Mapping[str, MemberSource]) -> str:
    """What ``members.json`` says: how each member is built."""
    listed = {name: {**asdict(m.source), "folder": str(m.folder) if m.folder else None} for name, m in members.items()}
    return json.dumps({"version": VERSION, "members": listed}, indent=2) + "\n"


def _last_word(model: str) -> str:
    return re.split(r"[:/\\.]", model.rstrip("/\\"))[-1] or model
