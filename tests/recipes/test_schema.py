"""The options of a step are those of the Python call, with the same defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from netsmith.recipes import cut, grow, merge, quantize, search, shrink, sparsify
from netsmith.recipes.schema import STEPS
from netsmith.recipes.schema_base import DataStep
from netsmith.searches import Space
from netsmith.training import Training, distil

# what a recipe says elsewhere, or cannot say in YAML
ELSEWHERE = {"model", "example_inputs", "data", "evaluate", "mask", "seed", "progress", "loss"}
CALLS = {"shrink": shrink, "cut": cut, "merge": merge, "grow": grow, "sparsify": sparsify, "quantize": quantize}


def options_of(kind: str) -> dict[str, Any]:
    own = {name: f for name, f in STEPS[kind].model_fields.items() if name not in DataStep.model_fields}
    return {name: None if field.is_required() else field.default for name, field in own.items()}


@pytest.mark.parametrize(("kind", "call"), CALLS.items())
def test_options_of_steps_that_change_the_structure(kind: str, call: Callable[..., Any]) -> None:
    parameters = inspect.signature(call).parameters.items()
    wanted = {n: None if p.default is p.empty else p.default for n, p in parameters if n not in ELSEWHERE}
    assert options_of(kind) == wanted


def test_options_of_search() -> None:
    # which score decides, and where trials are kept, follow from the recipe and the run
    parameters = inspect.signature(search).parameters.items()
    elsewhere = ELSEWHERE | {"maximize", "minimize", "storage"}
    wanted = {n: None if p.default is p.empty else p.default for n, p in parameters if n not in elsewhere}
    found = options_of("search")
    assert {**found, "space": None, "strategy": found["strategy"][0]} == wanted
    assert found["space"].space() == Space()
    assert set(type(found["space"]).model_fields) == {f.name for f in fields(Space)} - {"precision"}


def test_options_of_training() -> None:
    kept = {"seed", "checkpoint", "resume"}  # the recipe's, and the run's
    wanted = {f.name: f.default for f in fields(Training) if f.name not in kept}
    assert options_of("finetune") == wanted
    own = {k: v for k, v in options_of("distil").items() if k not in wanted}
    parameters = inspect.signature(distil).parameters
    assert own.pop("teacher") is None and own.pop("temperature") == 4.0  # None: 4, as distil says
    assert own == {name: parameters[name].default for name in own}
