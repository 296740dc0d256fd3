"""``netsmith measure``: what a model costs."""

from __future__ import annotations

from typing import Annotated

import typer

from .models import ModelSource, open_model
from .options import Debug, Input, Json, Model, Seed, Weights, parse_shape
from .output import emit_json, out, print_cost, working


def measure(
    model: Model,
    weights: Weights = None,
    input: Input = None,
    latency: Annotated[bool, typer.Option(help="Also time warm calls on this machine.")] = True,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Parameters, MACs, bytes and latency of a model."""
    from ..costs import measure as measure_cost

    opened = open_model(ModelSource(model, weights, parse_shape(input), seed))
    with working("measuring"):
        cost = measure_cost(opened.model, opened.example_inputs, latency=latency)
    if json:
        emit_json({"model": model, **cost.as_dict()})
    else:
        print_cost(out(), cost)
