"""A file or a mapping -> a recipe that makes sense, or one message with every fault and its line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import InputError
from ..sources.datasets import validation_of
from .schema import STEPS, Ensemble, Evaluate, Head, Quantize
from .schema_base import Data, DataStep, Step
from .schema_training import Distil
from .yaml_file import Document, Place, parse_yaml, read_yaml

ORIGINAL = "original"


@dataclass(frozen=True)
class NamedStep:
    """One step.

    Attributes:
        kind: what it does, a key of ``STEPS`` ("shrink" also where the recipe says "prune").
        name: no other step has it.
        source: name of the step whose model it takes, or "original".
        options: as asked, after defaults.
        place: in the document.
    """

    kind: str
    name: str
    source: str
    options: Step
    place: Place


@dataclass(frozen=True)
class Recipe:
    """A recipe that was read. ``document`` says where each part of it stands."""

    head: Head
    steps: tuple[NamedStep, ...]
    document: Document

    def data_of(self, step: Step) -> Data | None:
        """What a step works with: its own data, or else the recipe's (for ``evaluate``: its ``eval``)."""
        if not isinstance(step, DataStep):
            return None
        if "data" in step.model_fields_set:
            return step.data
        return self.eval if isinstance(step, Evaluate) else self.head.data

    @property
    def eval(self) -> Data | None:
        """What is measured on after each step; the validation split where the data is digits."""
        if self.head.eval is not None or self.head.data is None:
            return self.head.eval
        known = validation_of(self.head.data.name)
        return None if known is None else Data(name=known)

    def teacher_of(self, step: NamedStep) -> str:
        """Who a ``distil`` step learns from: a step's name, "original", or the text of a model."""
        assert isinstance(step.options, Distil)
        if step.options.teacher is not None:
            return step.options.teacher
        by_name = {each.name: each for each in self.steps}
        found, name = ORIGINAL, step.source
        while name != ORIGINAL:  # towards the original
            source = by_name[name].source
            if not by_name[name].options.trains:
                found = source
            elif found == ORIGINAL:
                found = name
            name = source
        return found

    def asked(self) -> dict[str, Any]:
        """The whole recipe after defaults, as plain values."""
        steps = [
            {s.kind: {"name": s.name, "from": s.source, **s.options.asked(), **self._data_asked(s.options)}}
            for s in self.steps
        ]
        return {**self.head.model_dump(mode="json"), "steps": steps}

    def _data_asked(self, step: Step) -> dict[str, Any]:
        data = self.data_of(step)
        return {} if data is None else {"data": data.model_dump(mode="json", exclude_defaults=True)}


def read_recipe(recipe: str | os.PathLike[str] | Mapping[str, Any]) -> Recipe:
    """The recipe in a YAML file, or in the mapping that it would hold.

    Raises:
        FileError: the file cannot be read.
        InputError: it is no YAML, or no recipe: every fault with its line and what may stand there.
    """
    if isinstance(recipe, Mapping):
        document = Document("recipe", dict(recipe), {})
    elif isinstance(recipe, str | os.PathLike):
        document = read_yaml(Path(recipe))
    else:
        raise InputError(f"a recipe is a file or a mapping, not {type(recipe).__name__}")
    return _Reading(document).recipe()


def read_text(text: str, where: str) -> Recipe:
    """The recipe in YAML text; raises as ``read_recipe``."""
    return _Reading(parse_yaml(text, where)).recipe()


class _Reading:
    """Collects faults, so that all are told at once."""

    def __init__(self, document: Document) -> None:
        self.document, self.faults = document, list[tuple[Place, str]]()

    def recipe(self) -> Recipe:
        content = self.document.content
        if not isinstance(content, Mapping):
            raise InputError(f"{self.document.where}: a recipe is a mapping with model and steps")
        content = dict(content)
        listed = content.pop("steps", None)
        head = self._made(Head, content, (), (*Head.model_fields, "steps"))
        if not isinstance(listed, list) or not listed:
            self.faults.append((("steps",), "steps must be a list such as  steps: [{cut: {blocks: 2}}]"))
            listed = []
        steps = self._steps(listed)
        if head is not None and not self.faults:
            self._check(Recipe(head, steps, self.document))
        if self.faults or head is None:
            faults = sorted(self.faults, key=lambda fault: self.document.line_of(fault[0]))
            raise InputError("\n".join(f"{self.document.at(place)}: {fault}" for place, fault in faults))
        return Recipe(head, steps, self.document)

    def _steps(self, listed: list[Any]) -> tuple[NamedStep, ...]:
        found: list[NamedStep] = []
        last = ORIGINAL
        for index, item in enumerate(listed):
            place: Place = ("steps", index)
            named = self._kind(item, place)
            if named is None:
                continue
            word, given = named
            options = self._made(STEPS[word], given, (*place, word), _options_of(STEPS[word]), of=word)
            if options is None:
                continue
            name = options.name or _free(word, {step.name for step in found})
            if name == ORIGINAL or any(step.name == name for step in found):
                self.faults.append(((*place, word, "name"), f"name {name!r} is taken; give another"))
            kind = "shrink" if word == "prune" else word
            found.append(NamedStep(kind, name, options.from_ or last, options, (*place, word)))
            last = name if options.changes else found[-1].source
        return tuple(found)

    def _kind(self, item: Any, place: Place) -> tuple[str, dict[str, Any]] | None:
        """``- cut: {blocks: 2}`` or ``- report`` -> the name of the step and its options."""
        if isinstance(item, str):
            item = {item: None}
        if not isinstance(item, Mapping) or len(item) != 1 or not all(isinstance(key, str) for key in item):
            self.faults.append((place, "a step is one name with its options, such as  - cut: {blocks: 2}"))
            return None
        ((word, given),) = item.items()
        if word not in STEPS:
            self.faults.append(((*place, word), f"there is no step {word!r}; {_nearest(word, STEPS)}"))
            return None
        if not isinstance(given, Mapping | None):
            self.faults.append(((*place, word), f"{word} takes options by name, such as  - cut: {{blocks: 2}}"))
            return None
        return word, dict(given or {})

    def _made(self, model: Any, given: Any, place: Place, names: Iterable[str], *, of: str = "recipe") -> Any:
        try:
            return model.model_validate(given)
        except ValidationError as error:
            for fault in error.errors():
                self.faults.append(((*place, *_known(fault["loc"])), _words(fault, names, of)))
            return None

    def _check(self, recipe: Recipe) -> None:
        """What no step can see by itself: what it is given."""
        made: dict[str, str] = {ORIGINAL: "floats"}
        for step in recipe.steps:
            options, place = step.options, step.place
            for name, key in _references(step):
                if name not in made:
                    earlier = ", ".join(made)
                    self.faults.append(
                        ((*place, key), f"{name!r} is no earlier step with a model; there are {earlier}")
                    )
            given = made.get(step.source, "floats")
            if given == "ensemble" and step.kind not in ("evaluate", "export", "report"):
                self.faults.append((place, f"{step.kind} cannot work on an ensemble; put it before, or say from:"))
            if given == "integers" and options.changes and step.kind != "ensemble":
                self.faults.append(
                    (place, f"{step.kind} comes after quantize, but integers are not changed further; quantize last")
                )
            wants = options.wants_data
            if wants and recipe.data_of(options) is None:
                self.faults.append((place, f"{step.kind} needs data to {wants}; give data: here or above the steps"))
            if isinstance(options, Evaluate) and recipe.data_of(options) is None:
                self.faults.append((place, "evaluate needs data; give data: here, or eval: above the steps"))
            if isinstance(options, Evaluate) and options.int8 and recipe.head.data is None:
                self.faults.append((place, "evaluate calibrates int8 on data; give data: above the steps"))
            if options.changes:
                kinds = {Quantize: "integers", Ensemble: "ensemble"}
                made[step.name] = kinds.get(type(options), "floats")


def _references(step: NamedStep) -> list[tuple[str, str]]:
    """(name, option) of every earlier step that a step names."""
    found = [(step.source, "from")]
    teacher = step.options.teacher if isinstance(step.options, Distil) else None
    if teacher is not None and ":" not in teacher:
        found.append((teacher, "teacher"))
    if isinstance(step.options, Ensemble):
        found += [(name, "members") for name in step.options.members if ":" not in name]
    return found


def _free(word: str, taken: set[str]) -> str:
    numbers = (f"{word}-{n}" for n in range(2, len(taken) + 3))
    return word if word not in taken else next(name for name in numbers if name not in taken)


def _options_of(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _known(place: tuple[str | int, ...]) -> Place:
    return tuple("from" if part == "from_" else part for part in place)


def _nearest(word: str, names: Iterable[str]) -> str:
    names = list(names)
    near = get_close_matches(word, names, n=1)
    return f"did you mean {near[0]!r}? There are {', '.join(names)}" if near else f"there are {', '.join(names)}"


def _words(fault: Any, names: Iterable[str], of: str) -> str:
    """What pydantic found, in the words of a recipe."""
    where, kind, context = fault["loc"], fault["type"], fault.get("ctx", {})
    name = ".".join(str(part) for part in _known(where))
    if kind == "extra_forbidden":
        inner = len(where) > 1
        nearest = "" if inner else f"; {_nearest(str(where[-1]), names)}"
        return f"{name!r} is no option of {of}{nearest}"
    if kind == "missing":
        return f"{of} needs {name}"
    if kind == "literal_error":
        return f"{name} is {fault['input']!r}; it may be {context['expected'].replace(' or ', ', ')}"
    if kind == "invalid_key":
        return f"{name} is no name of an option; names are text"
    said = fault["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    if not where:
        return f"{of} {said}"
    shown = f", not {fault['input']!r}" if isinstance(fault["input"], str | int | float | bool | None) else ""
    return f"{name} {said}{'' if kind == 'value_error' and 'must' not in said else shown}"
