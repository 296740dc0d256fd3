"""``netsmith finetune``: a saved or built model, labelled data -> the same structure, trained on."""

from __future__ import annotations

from typing import Annotated

from .datasets import open_batches
from .models import ModelSource
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

DATA_HELP = "Labelled data to train on: digits, imagefolder:DIR, parquet:FILE or path/file.py:function."


def finetune(
    what: What,
    data: Annotated[str, option(DATA_HELP, "DATA")],
    out_dir: Out,
    epochs: Epochs = None,
    steps: Steps = None,
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
    """Train a model on with labels, verify its structure and save it."""
    from ..training import Training
    from ..training import finetune as finetune_model

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
    subject = open_subject(what, out_dir, given=ModelSource(what, weights, parse_shape(input), seed), original=model)
    zeros = held_zeros(subject)
    batches = open_batches(data, subject.opened.example_inputs, mean=mean, std=std, shuffle=True, seed=seed)
    evaluate = measured_on(subject, data, evaluate_on, mean, std)
    with stages({"train": "fine-tuning"}) as tell:
        trained = finetune_model(
            subject.model,
            batches,
            validate=accuracy_of(evaluate),
            after_step=zeros,
            progress=telling(tell),
            training=how,
        )
    finish(subject, trained, out_dir, evaluate, name="finetune", as_json=json)
