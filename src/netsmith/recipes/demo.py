"""The whole job on real input: train, shrink, repair, distil, measure, save, reload.

scikit-learn's 1,797 handwritten digits and a small ResNet, so that it runs anywhere in about a minute. Every figure is
measured on the test part, which nothing here learns or chooses from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from ..checks import Verdict
from ..checks.classes import classes_of
from ..checks.classification import classification
from ..data import Splits, batches, digits
from ..files import save
from ..plans import Budget, Plan
from ..training import distil, finetune
from ..wiring import trace
from ..zoo import digits_resnet
from .demo_files import demo_record, output_folder, score_notes, write_told
from .reload_check import reloads_bit_equal
from .result import Result, Step
from .shrink import shrink


@dataclass(frozen=True)
class DemoSettings:
    """What the demo does; the defaults take about a minute on two cores.

    Attributes:
        width: channels of the first stage of the network.
        epochs: passes of training over 1,149 images.
        distil_epochs: passes of distillation after the repair.
        macs: share of the original's multiply-accumulates that may remain.
        batch: images of one measured call.
    """

    width: int = 32
    epochs: int = 16
    distil_epochs: int = 8
    macs: float = 0.25
    batch: int = 64


@dataclass(frozen=True)
class DemoProgress:
    """Where the demo is.

    Attributes:
        stage: "train", "shrink", "distil", "measure" or "reload".
        done, total: steps of this stage; total ≥ 1.
        detail: in words, e.g. "loss 0.031".
    """

    stage: str
    done: int
    total: int
    detail: str = ""


Report = Callable[[DemoProgress], None]


@dataclass(frozen=True)
class DemoResult:
    """What the demo found.

    Attributes:
        folder: where the files lie.
        steps: "original", "prune", "repair", "distil", each with cost and {"accuracy", "f1"} on the test part.
        plan: what was changed.
        verdict: of the pruned and distilled network against the original.
        reload_bit_equal: whether the saved model, loaded in a fresh process, gave the same outputs to the last bit.
        seconds: for everything.
    """

    folder: Path
    steps: tuple[Step, ...]
    plan: Plan
    verdict: Verdict
    reload_bit_equal: bool
    seconds: float


def run_demo(
    out: str | Path, *, seed: int = 0, report: Report | None = None, settings: DemoSettings | None = None
) -> DemoResult:
    """Run the demo and write model.safetensors, plan.json, card.md, summary.json, run.json and report.html to ``out``.

    Args:
        out: a folder that is new, empty, or holds an earlier demo, which is replaced once the new one is complete.
        seed: of the split, the first weights, the order of the images, and the repair.
        report: called as it goes on.
        settings: sizes and lengths.

    Raises:
        FileError: ``out`` holds something else or cannot be written (seen before the training starts), or what was
            saved cannot be loaded.
    """
    start, folder, settings = time.perf_counter(), Path(out), settings or DemoSettings()
    report = report or _silent
    with output_folder(folder) as staged, _one_thread():
        splits = digits(seed)
        original = _train(splits, settings, seed, report)
        result = _shrink(original, splits, settings, seed, report)
        steps = tuple(replace(step, name="distil") if step.name == "heal" else step for step in result.steps)
        save(result.model, staged, plan=result.plan, notes=score_notes(steps, width=settings.width))
        report(DemoProgress("reload", 0, 1))
        equal = reloads_bit_equal(
            staged,
            "netsmith.zoo:digits_resnet",
            {"width": settings.width},
            model=result.model,
            inputs=splits.test.images,
        )
        report(DemoProgress("reload", 1, 1, "bit-equal" if equal else "different"))
        seconds = time.perf_counter() - start
        test, wiring = batches(splits.test, 512), trace(original, splits.train.images[: settings.batch])
        classes = {"original": classes_of(original, test), steps[-1].name: classes_of(result.model, test)}
        result = replace(result, steps=steps)
        run = demo_record(result, wiring, classes, settings=asdict(settings), seed=seed, same=equal)
        write_told(staged, result, run.model_copy(update={"seconds": round(seconds, 1)}))
    return DemoResult(folder, steps, result.plan, result.verdict, equal, seconds)


def _train(splits: Splits, settings: DemoSettings, seed: int, report: Report) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = digits_resnet(width=settings.width)
    loader = batches(splits.train, 64, shuffle=True, seed=seed)
    return finetune(model, loader, epochs=settings.epochs, lr=0.1, seed=seed, progress=_told("train", report))


def _shrink(original: nn.Module, splits: Splits, settings: DemoSettings, seed: int, report: Report) -> Result:
    """Prune, repair on unlabelled training images, distil; the test part is measured on, and nothing else."""
    loader, test = batches(splits.train, 64, shuffle=True, seed=seed), batches(splits.test, 512)

    def distilled(edited: nn.Module, original: nn.Module) -> nn.Module:
        told, epochs = _told("distil", report), settings.distil_epochs
        return distil(edited, original, loader, epochs=epochs, lr=0.05, alpha=0.1, seed=seed, progress=told)

    def tell(what: str, done: int, total: int) -> None:
        if what == "heal":  # distilled says how far it is
            report(DemoProgress("shrink", 1, 1))
        else:
            report(DemoProgress("measure" if what in ("verify", "measure") else "shrink", 0, 1, what))

    result = shrink(
        original,
        splits.train.images[: settings.batch],
        budget=Budget(macs=settings.macs),
        data=splits.train.images.split(128),
        evaluate=lambda model: classification(model, test),
        heal=distilled,
        seed=seed,
        progress=tell,
    )
    report(DemoProgress("measure", 1, 1))
    return result


@contextmanager
def _one_thread() -> Iterator[None]:
    """The network is so small that threads wait longer for each other than they work, most of all on a busy machine."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(threads)


def _told(stage: str, report: Report) -> Callable[[int, int, dict[str, float]], None]:
    def told(step: int, total: int, metrics: dict[str, float]) -> None:
        report(DemoProgress(stage, step, total, f"loss {metrics['loss']:.3f}"))

    return told


def _silent(progress: DemoProgress) -> None:
    """Nobody listens."""
