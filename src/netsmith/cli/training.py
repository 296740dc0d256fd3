"""What ``netsmith finetune``, ``distil`` and ``regularize`` share: options, what they train, and what they tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import FileError
from .datasets import evaluation, validation_of
from .ensemble_folders import is_ensemble
from .finishing import keep, tell
from .models import ModelSource, OpenModel, build_structure, open_model, open_trained, state_digest
from .options import option
from .progress import Tell
from .saved import read_source, refuse_occupied

if TYPE_CHECKING:
    from torch import nn

    from ..plans import Plan

WHAT_HELP = "A folder that a netsmith command wrote, with source.json in it; or a model, as for shrink."
What = Annotated[str, typer.Argument(help=WHAT_HELP, metavar="DIR|MODEL", show_default=False)]
Epochs = Annotated[int | None, option("Passes over the data. One of --epochs and --steps.", "N", min=1)]
Steps = Annotated[int | None, option("Updates of the weights.", "N", min=1)]
Rate = Annotated[float, typer.Option("--lr", help="Peak learning rate.", metavar="NUMBER")]
Optimizer = Annotated[str, typer.Option(help="sgd or adamw.", metavar="NAME")]
Accumulate = Annotated[int, typer.Option(help="Batches a step.", metavar="N", min=1)]
Precision = Annotated[str, typer.Option(help="no, bf16 or fp16: of forward and loss.", metavar="NAME")]
EVAL_HELP = "Labelled data; the weights with the best accuracy on it are kept. Default: digits:validation with digits."
Eval = Annotated[str | None, typer.Option("--eval", help=EVAL_HELP, metavar="DATA", show_default=False)]
Patience = Annotated[int | None, option("Stop after so many passes without a new best on --eval.", "N", min=1)]
Kept = Annotated[Path | None, option("Folder for a checkpoint of the training.", "DIR")]
Every = Annotated[int, typer.Option(help="Steps between checkpoints.", metavar="N", min=1)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint, if there is one.")]
ORIGINAL_HELP = "The original, if not as DIR/source.json says: as for shrink."
Original = Annotated[str | None, typer.Option("--model", help=ORIGINAL_HELP, metavar="MODEL", show_default=False)]


@dataclass(frozen=True)
class Subject:
    """What is trained.

    Attributes:
        name: as on the command line.
        model: with its weights, in eval mode.
        opened: the original, and example inputs.
        plan: what made the model out of the original; without edits where nothing did.
        source, digest: how the original is built, and of which weights.
    """

    name: str
    model: nn.Module
    opened: OpenModel
    plan: Plan
    source: ModelSource
    digest: str


def open_subject(what: str, out_dir: Path, *, given: ModelSource, original: str | None) -> Subject:
    """The folder or model that is named, ready to train.

    Args:
        what: of the command line.
        out_dir: must be free.
        given: how to build it where it is no folder; its weights are also those of a folder's original.
        original: ``--model``.

    Raises:
        FileError: the folder is damaged, or its original has other weights now; ``out_dir`` is taken.
        NetsmithError: as ``open_model`` and ``load`` raise.
    """
    refuse_occupied(out_dir)
    return opened_subject(what, given=given, original=original)


def opened_subject(what: str, *, given: ModelSource, original: str | None, trained: bool = True) -> Subject:
    """As ``open_subject``, where nothing is written, or into a folder that may be there.

    ``trained``: say so where weights are random; a shape of inputs that is given goes before the folder's.
    """
    # Only now torch is loaded: what is wrong with the folders themselves is said at once.
    from ..files import load, load_plan
    from ..plans import Plan
    from ..wiring import fingerprint

    folder = Path(what)
    if not folder.is_dir() or is_ensemble(what):
        opened = open_trained(given) if trained else open_model(given)
        plan = Plan((), {}, {}, {}, fingerprint(opened.model))
        return Subject(what, opened.model, opened, plan, given, state_digest(opened.model))
    source, digest = read_source(folder, model=original, weights=given.weights)
    source = replace(source, input=given.input or source.input)
    plan = load_plan(folder)
    opened = open_model(source)
    if state_digest(opened.model) != digest:
        raise FileError(
            f"{source.model} builds a model with other weights than the one that {folder} was made from; "
            "give the right ones with --weights FILE (or --model)"
        )
    return Subject(what, load(folder, lambda: build_structure(source)), opened, plan, source, digest)


def measured_on(subject: Subject, data: str, evaluate_on: str | None, mean: str | None, std: str | None) -> Any:
    """model -> scores on ``--eval``; None where there is nothing to measure on."""
    measured = evaluate_on or validation_of(data)
    return None if measured is None else evaluation(subject.opened, measured, mean, std)


def accuracy_of(evaluate: Any) -> Callable[[nn.Module], float] | None:
    return None if evaluate is None else lambda model: float(evaluate(model)["accuracy"])


def held_zeros(subject: Subject) -> list[Callable[[nn.Module], None]]:
    """As ``recipes.chaining.held_zeros``, of the subject."""
    from ..recipes.chaining import held_zeros as held

    return held(subject.model, subject.plan)


def telling(tell: Tell) -> Callable[[int, int, dict[str, float]], None]:
    return lambda done, total, said: tell("train", done, total, f"loss {said['loss']:.3f}")


def finish(subject: Subject, trained: nn.Module, out_dir: Path, evaluate: Any, *, name: str, as_json: bool) -> None:
    """Verify, save and report; exit with 1 if a check fails."""
    from ..wiring import tensor_slots

    plan = subject.plan.with_refitted(slot.name for slot in tensor_slots(trained))
    finish_models(subject, {name: trained}, plan, out_dir, evaluate, as_json=as_json)


def finish_models(
    subject: Subject,
    made: Mapping[str, nn.Module],
    plan: Plan,
    out_dir: Path,
    evaluate: Any,
    *,
    as_json: bool,
    said: Iterable[str] = (),
) -> None:
    """The same of several models that were made one after the other, by name of the step; the last one is saved.

    Args:
        subject, out_dir, evaluate, as_json: as in ``finish``.
        made: never empty.
        plan: of all that was done to the original.
        said: what else to tell, in sentences.
    """
    from ..checks import verify
    from ..recipes import Result
    from ..recipes.steps import measured_steps

    *_, last = made.values()
    verdict = verify(subject.opened.model, last, plan, subject.opened.example_inputs)
    models = {"original": subject.opened.model} if subject.plan.edits else {}
    steps = measured_steps({**models, "before": subject.model, **made}, subject.opened.example_inputs, evaluate)
    result = Result(last, plan, verdict, steps)
    start = subject.opened.model if subject.plan.edits else subject.model
    keep(result, out_dir, subject.source, subject.digest, subject.opened, evaluate, start=start)
    sentences = list(said)
    told = {"said": sentences} if sentences else {}
    tell(subject.name, out_dir, steps, verdict, as_json=as_json, told=told, below=sentences)
