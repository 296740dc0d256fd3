"""``netsmith distil``: a saved or built model, a teacher, data without labels -> the same structure, trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .datasets import open_batches
from .models import ModelSource, open_model
from .options import Debug, Input, Json, Mean, Out, Seed, Std, Weights, option, parse_shape
from .progress import stages
from .training import (
    Accumulate,
    Epochs,
    Eval,
    Every,
    Kept,
    Optimizer,
    Original,
    Patience,
    Precision,
    Rate,
    Resume,
    Steps,
    What,
    accuracy_of,
    finish,
    held_zeros,
    measured_on,
    open_subject,
    telling,
)

DATA_HELP = "Data to train on, labelled or not: digits, imagefolder:DIR, parquet:FILE or path/file.py:function."
TEACHER_HELP = "The teacher, as for shrink. Default: the original that DIR was made from."
CACHE_HELP = "File for the teacher's outputs: computed once, where the data is not augmented."


def distil(
    what: What,
    data: Annotated[str, option(DATA_HELP, "DATA")],
    out_dir: Out,
    epochs: Epochs = None,
    steps: Steps = None,
    teacher: Annotated[str | None, option(TEACHER_HELP, "MODEL")] = None,
    teacher_weights: Annotated[str | None, option("The teacher's weights.", "FILE")] = None,
    temperature: Annotated[float, typer.Option(help="Softens both outputs, > 0.", metavar="NUMBER")] = 4.0,
    alpha: Annotated[float, typer.Option(help="Weight of the labels, 0 to 1.", metavar="NUMBER")] = 0.0,
    cache: Annotated[Path | None, option(CACHE_HELP, "FILE")] = None,
    lr: Rate = 0.01,
    optimizer: Optimizer = "sgd",
    accumulate: Accumulate = 1,
    precision: Precision = "no",
    evaluate_on: Eval = None,
    patience: Patience = None,
    checkpoint: Kept = None,
    checkpoint_every: Every = 100,
    resume: Resume = False,
    model: Original = None,
    weights: Weights = None,
    input: Input = None,
    mean: Mean = None,
    std: Std = None,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a model towards a teacher's outputs, verify its structure and save it."""
    from ..training import Training
    from ..training import distil as distil_model

    how = Training(
        epochs=epochs,
        steps=steps,
        lr=lr,
        optimizer=optimizer,
        accumulate=accumulate,
        precision=precision,
        patience=patience,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
        seed=seed,
    )
    if teacher is None and not Path(what).is_dir():
        raise InputError(f"{what} is no folder, so it has no original to learn from; name a teacher: --teacher MODEL")
    if teacher is None and teacher_weights is not None:
        raise InputError("--teacher-weights are of a teacher; name it with --teacher MODEL")
    shape = parse_shape(input)
    subject = open_subject(what, out_dir, given=ModelSource(what, weights, shape, seed), original=model)
    learnt_from = subject.opened.model
    if teacher is not None:
        learnt_from = open_model(ModelSource(teacher, teacher_weights, shape or subject.source.input, seed)).model
    zeros = held_zeros(subject)
    batches = open_batches(data, subject.opened.example_inputs, mean=mean, std=std, shuffle=True, seed=seed)
    evaluate = measured_on(subject, data, evaluate_on, mean, std)
    with stages({"train": "distilling"}) as tell:
        trained = distil_model(
            subject.model,
            learnt_from,
            batches,
            temperature=temperature,
            alpha=alpha,
            cache=cache,
            validate=accuracy_of(evaluate),
            after_step=zeros,
            progress=telling(tell),
            training=how,
        )
    finish(subject, trained, out_dir, evaluate, name="distil", as_json=json)
