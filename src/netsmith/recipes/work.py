"""What the steps of one run share: the original, data, measures, and the models that earlier steps made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from torch import nn

from ..data.fitting import fitting_batches
from ..errors import InputError
from ..plans import Plan
from ..sources.models import ModelSource, OpenModel, build_structure, open_model, state_digest
from ..wiring import Wiring, fingerprint, trace
from .extras import check_extras
from .metrics import Measure, metric_named
from .reading import ORIGINAL, Recipe
from .result import Step as Row
from .schema_base import Data, Step

Tell = Callable[[str, int, int], None]
"""(what is being done, done, in all)"""


@dataclass(frozen=True)
class State:
    """A model that a step made.

    Attributes:
        name: of the step, or "original".
        load: reads or returns it.
        plan: what made it out of the original; None for an ensemble.
    """

    name: str
    load: Callable[[], nn.Module]
    plan: Plan | None

    @cached_property
    def model(self) -> nn.Module:
        return self.load()

    @property
    def chain(self) -> Plan:
        """Its plan, where it has one; the recipe's checks see to it that no other is asked."""
        if self.plan is None:
            raise InputError(f"{self.name} is an ensemble, which has no plan")
        return self.plan


@dataclass(frozen=True)
class Work:
    """One run.

    Attributes:
        recipe: what is asked.
        folder: of the run.
        source, opened, digest: how the original is built, itself, and of which weights.
        measure: scores of a model on ``eval``; None without it.
        states: name -> what is made so far.
    """

    recipe: Recipe
    folder: Path
    source: ModelSource
    opened: OpenModel
    digest: str
    measure: Measure | None
    states: dict[str, State] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        return self.recipe.head.seed

    @property
    def example_inputs(self) -> Any:
        return self.opened.example_inputs

    @cached_property
    def wiring(self) -> Wiring:
        """Of the original."""
        return trace(self.opened.model, self.opened.example_inputs)

    def batches(self, step: Step) -> Iterable[Any] | None:
        """What a step works with, shuffled; None without data."""
        data = self.recipe.data_of(step)
        return None if data is None else self.read(data, shuffle=True)

    def needed(self, step: Step) -> Iterable[Any]:
        """As ``batches``, of a step that was seen to have data."""
        batches = self.batches(step)
        if batches is None:
            raise InputError("this step needs data; give data: above the steps")
        return batches

    def read(self, data: Data, *, shuffle: bool = False) -> Iterable[Any]:
        return read_data(data, self.example_inputs, shuffle=shuffle, seed=self.seed)

    def build(self) -> nn.Module:
        """The original's structure, for ``load``."""
        return build_structure(self.source)


@dataclass(frozen=True)
class Done:
    """What a step made.

    Attributes:
        model: the new model; None where the step changes none.
        plan: of the chain from the original; None for an ensemble.
        rows: cost and scores of its stages; the last are those of the step.
        checks: of ``verify``: (name, status, detail).
        told: see ``step_folder.Finished``.
        said: sentences for people.
        left: part -> why it was left as it is.
        save: writes the result into a new folder, where that is not a plan's model; given the folder, and text files.
    """

    model: nn.Module | None = None
    plan: Plan | None = None
    rows: tuple[Row, ...] = ()
    checks: tuple[tuple[str, str, str], ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    save: Callable[[Path, Mapping[str, str]], None] | None = None


def other_source(recipe: Recipe, text: str) -> ModelSource:
    """How a model besides the recipe's own is built: MODEL, or MODEL@FILE with weights."""
    model, _, weights = text.partition("@")
    return ModelSource(model, weights or None, recipe.head.input, recipe.head.seed)


def begin(recipe: Recipe, folder: Path, *, measuring: bool = True) -> Work:
    """Open the model and, if it is to be measured, look at the data; nothing is written.

    Raises:
        NetsmithError: a package is not installed, the model cannot be built, or data or the metric do not answer; as
            ``check_extras``, ``open_model``, ``fitting_batches`` and ``metric_named``.
    """
    head = recipe.head
    check_extras(recipe)
    source = ModelSource(head.model, head.weights, head.input, head.seed)
    opened = open_model(source)
    measure = None
    metric = metric_named(head.metric)
    if recipe.eval is not None and measuring:
        batches = read_data(recipe.eval, opened.example_inputs, seed=head.seed)
        metric(opened.model, list(islice(batches, 1)))  # what cannot be measured on is said before the work
        measure = Measure(metric, batches)
    if measuring:
        for data in {str(data): data for step in recipe.steps if (data := recipe.data_of(step.options))}.values():
            read_data(data, opened.example_inputs)  # opened, not gone through
    work = Work(recipe, folder, source, opened, state_digest(opened.model), measure)
    nothing = Plan((), {}, {}, {}, fingerprint(opened.model))
    work.states[ORIGINAL] = State(ORIGINAL, lambda: opened.model, nothing)
    return work


def read_data(data: Data, example_inputs: Any, *, shuffle: bool = False, seed: int = 0) -> Iterable[Any]:
    return fitting_batches(
        data.name,
        example_inputs,
        mean=data.mean,
        std=data.std,
        batch_size=data.batch_size,
        shuffle=shuffle,
        seed=seed,
    )
