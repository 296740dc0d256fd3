"""``load``: the user's constructor, the plan's structure, the file's weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ..errors import FileError, InputError, PlanError
from ..plans.plan import Plan
from ..surgery import apply, check_fits
from ..wiring import tensor_slots
from .plan_file import read_plan_file
from .plan_schema import WeightsEntry
from .saving import PLAN, WEIGHTS, sha256_of
from .weights import put_weights, read_weights


def load(path: str | os.PathLike[str], build: Callable[[], nn.Module]) -> nn.Module:
    """Read a model that ``save`` wrote: its outputs are bit-equal on the same machine.

    The structure comes from ``build`` and the plan, the values from model.safetensors. No pickle is read and no name in
    the files is imported, so files from strangers cannot run code; ``build`` is the caller's own.

    Args:
        path: the folder.
        build: returns the model as it was before the plan, with any weights; called without arguments, first under
            ``torch.device("meta")`` so that no weights are initialized, and where that fails ordinarily.

    Returns:
        The model on the CPU, in eval mode, with the dtypes of the file.

    Raises:
        FileError: a file is missing, truncated, edited, or does not fit the model; the message says which and where.
        PlanError: the plan was made for another model than the one that ``build`` makes.
        InputError: ``build`` cannot be called, raises, or returns no ``nn.Module``.

    Example:
        >>> model = netsmith.load("out/small", lambda: resnet18(num_classes=10))  # doctest: +SKIP
    """
    if not callable(build) or isinstance(build, nn.Module):
        raise InputError(
            f"load: build is a {type(build).__name__}; give a function without arguments that makes the model as it "
            "was before the plan, e.g. lambda: resnet18(num_classes=10)"
        )
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"load: path is {path!r}; give a folder that netsmith saved")
    folder = Path(path)
    plan, weights = _read_plan(folder)
    if weights is None:
        raise FileError(f"{folder / PLAN}: holds a plan without weights. Give a folder that netsmith saved.")
    check_weights_file(folder / WEIGHTS, weights)
    model = replayed(plan, build_original(build), folder / PLAN)
    tensors = read_weights(folder / WEIGHTS, weights.dim_orders)
    put_weights(model, tensors, weights.aliases, folder / WEIGHTS)
    return model.eval()


def replayed(plan: Plan, original: nn.Module, where: Path) -> nn.Module:
    """The structure that the plan in the file ``where`` makes of the original. Raises PlanError and FileError."""
    try:
        model = original
        for step in plan.steps:
            check_fits(model, step)
            _check_layouts(where, step, model)
            model = apply(model, step)
    except PlanError as error:
        raise PlanError(
            f"{where.parent}: the plan does not belong to the model that build() makes.\n{error}"
        ) from error
    return model


def load_plan(path: str | os.PathLike[str]) -> Plan:
    """The plan of a folder that ``save`` wrote. Raises FileError as ``load`` does."""
    return _read_plan(Path(path))[0]


def _read_plan(folder: Path) -> tuple[Plan, WeightsEntry | None]:
    if not folder.is_dir():
        raise FileError(f"{folder}: no such folder. Give a folder that netsmith saved.")
    return read_plan_file(folder / PLAN)


def check_weights_file(path: Path, weights: WeightsEntry, page: str = PLAN) -> None:
    """Raise FileError unless this is the file of tensors that ``page`` was written for."""
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}). Give a folder that netsmith saved.") from error
    if digest != weights.sha256:
        raise FileError(
            f"{path}: not the file that {page} was written for (field weights.sha256 differs): truncated, changed "
            "or swapped. Copy the whole folder again, or save the model again."
        )


def build_original(build: Callable[[], nn.Module]) -> nn.Module:
    """The caller's model on the meta device where its constructor can do without values, else an ordinary one."""
    try:
        with torch.device("meta"):
            model = build()
    except Exception:  # whatever a constructor raises on meta, the ordinary build below tells whether it is a fault
        try:
            model = build()
        except Exception as error:
            raise InputError(f"load: build() raised {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise InputError(f"load: build() returned a {type(model).__name__}, not a torch.nn.Module")
    return model


def _check_layouts(path: Path, plan: Plan, original: nn.Module) -> None:
    """Compare the shapes that the layouts make before apply expands them: a forged plan could fill the memory."""
    shapes = {slot.name: tuple(slot.tensor.shape) for slot in tensor_slots(original)}
    for name in plan.layouts:
        if shapes.get(name) != plan.shape_before(name):
            raise FileError(
                f'{path}: field "layouts.{name}" makes {plan.shape_before(name)}, but the model that fits the '
                f"fingerprint has {shapes.get(name, 'no such tensor')}. Save the model again."
            )
