"""``netsmith sparsify``: a model -> the same model with single weights at zero, in a folder."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..errors import InputError
from .chaining import chained, finish, open_start
from .datasets import given_data
from .models import ModelSource
from .options import Debug, Eval, Ignore, Input, Json, Mean, Out, Seed, Std, Weights, option, parse_shape
from .progress import stages
from .training import Original, What

STAGES = {
    "trace": "reading the model",
    "plan": "choosing zeros",
    "repair": "making up for them",
    "dead": "removing dead units",
    "verify": "verifying",
    "measure": "measuring",
}
THRESHOLD_HELP = "Zero weights of smaller magnitude. One of --threshold, --share and --pattern."
SHARE_HELP = "Zero this share of the weights, e.g. 0.5."
PATTERN_HELP = "N:M, as 2:4: of 4 neighbours along a layer's inputs 2 stay."
SCOPE_HELP = "Of --share: global ranks all weights together, layer those of each layer."
CRITERION_HELP = "magnitude; with --data also wanda or sparsegpt."
DATA_HELP = "Unlabelled data to choose and repair with: as for shrink."
REPAIR_HELP = "With --data, let the weights beside the zeros make up for them."
DEAD_HELP = "Remove units on which no output depends any more."


def sparsify(
    what: What,
    out_dir: Out,
    threshold: Annotated[float | None, option(THRESHOLD_HELP, "NUMBER")] = None,
    share: Annotated[float | None, option(SHARE_HELP, "NUMBER")] = None,
    pattern: Annotated[str | None, option(PATTERN_HELP, "N:M")] = None,
    scope: Annotated[str, typer.Option(help=SCOPE_HELP, metavar="KIND")] = "global",
    criterion: Annotated[str, typer.Option(help=CRITERION_HELP, metavar="KIND")] = "magnitude",
    data: Annotated[str | None, option(DATA_HELP, "DATA")] = None,
    repair: Annotated[bool, typer.Option("--repair/--no-repair", help=REPAIR_HELP)] = True,
    remove_dead: Annotated[bool, typer.Option("--remove-dead/--keep-dead", help=DEAD_HELP)] = True,
    ignore: Ignore = None,
    evaluate_on: Eval = None,
    original: Original = None,
    weights: Weights = None,
    input: Input = None,
    mean: Mean = None,
    std: Std = None,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Set single weights to zero, remove what is dead then, verify the result and save it."""
    if sum(each is not None for each in (threshold, share, pattern)) != 1:
        raise InputError("give one of --threshold NUMBER, --share NUMBER and --pattern N:M")
    source = ModelSource(what, weights, parse_shape(input), seed)
    subject = open_start(what, out_dir, given=source, original=original)
    from ..recipes import sparsify as sparsify_model
    from ..surgery.zeros import count_zeros

    opened = subject.opened
    options: dict[str, Any] = {"threshold": threshold, "share": share, "pattern": pattern, "scope": scope}
    options |= {"criterion": criterion, "repair": repair, "remove_dead": remove_dead}
    options |= {"ignore": tuple(ignore or ()), "seed": seed}
    options |= given_data(opened, data, evaluate_on, mean, std, seed)
    with stages(STAGES) as tell:
        result = sparsify_model(subject.model, opened.example_inputs, progress=tell, **options)
    zeros, weights_in_all = count_zeros(result.model)
    dead = sum(edit.size - len(edit.keep) for step in result.plan.steps for edit in step.resizes)
    more = {"zeros": zeros, "weights": weights_in_all, "dead_units_removed": dead}
    finish(chained(result, subject), subject, out_dir, options.get("evaluate"), as_json=json, more=more)
