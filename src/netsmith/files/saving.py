"""``save``: a folder with the weights, the plan and a page for people."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from torch import nn

from ..errors import FileError, InputError, PlanError
from ..plans.plan import Plan
from .card import card_text
from .folder import new_folder
from .plan_file import plan_from_json, plan_to_json, spell
from .plan_schema import WeightsEntry
from .weights import Collected, collect, write_weights

WEIGHTS: Final = "model.safetensors"
PLAN: Final = "plan.json"
CARD: Final = "card.md"


def save(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    plan: Plan,
    notes: str | None = None,
    beside: Mapping[str, str] | None = None,
) -> None:
    """Write a changed model to a folder that ``load`` reads: model.safetensors, plan.json and card.md.

    The folder appears whole or not at all. Values are kept bit by bit, NaN included; whether a parameter is trainable
    is not kept: ``load`` takes that from the constructor.

    Args:
        model: the edited model; it is not changed.
        path: a folder that does not exist yet, or an empty one; parents are made.
        plan: the plan that made the model out of the original.
        notes: Markdown that is added to card.md, e.g. measured accuracy.
        beside: name -> text of further files for the folder; ``load`` does not read them.

    Raises:
        FileError: the folder is not empty, or cannot be written.
        ModelError: a tensor has no values (meta), or is of a kind that safetensors cannot hold.
        PlanError: the plan does not fit the model's shapes.
        InputError: ``model`` is no ``nn.Module`` or ``plan`` no ``Plan``.

    Example:
        >>> netsmith.save(result.model, "out/small", plan=result.plan)  # doctest: +SKIP
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"save: model is a {type(model).__name__}, not a torch.nn.Module")
    if not isinstance(plan, Plan):
        raise InputError(f"save: plan is a {type(plan).__name__}, not a netsmith Plan (result.plan of shrink)")
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise InputError(f"save: path is {path!r}; give a folder, e.g. 'out/small'")
    collected = collect(model)
    check_fits_tensors(plan, collected)
    with new_folder(path) as folder:
        write_weights(collected, folder / WEIGHTS)
        (folder / PLAN).write_text(_plan_text(plan, collected, folder / WEIGHTS), encoding="utf-8")
        card = card_text(model, plan, name=Path(path).resolve().name, notes=notes)
        (folder / CARD).write_text(card, encoding="utf-8")
        for name, text in (beside or {}).items():
            (folder / name).write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plan_text(plan: Plan, collected: Collected, weights: Path) -> str:
    entry = WeightsEntry(
        file=WEIGHTS, sha256=sha256_of(weights), aliases=collected.aliases, dim_orders=collected.dim_orders
    )
    text = spell(plan_to_json(plan, entry))
    try:
        same = plan_from_json(text) == plan
    except FileError as error:
        raise PlanError(f"the plan cannot be written as a file: {error}") from error
    if not same:
        raise PlanError("the plan cannot be written as a file: what would be read back is another plan")
    return text


def check_fits_tensors(plan: Plan, collected: Collected) -> None:
    """Raise PlanError unless the tensors have the shapes that the plan promises."""
    shapes = {name: tuple(tensor.shape) for name, tensor in collected.tensors.items()}
    faults = []
    for name in plan.layouts:
        shape, promised = shapes.get(collected.aliases.get(name, name)), plan.shape_after(name)
        if shape != promised:
            faults.append(f"  {name}: {promised} by the plan, {shape or 'absent'} in the model")
    if faults:
        raise PlanError(
            f"the plan is not the one that made this model; {len(faults)} tensors differ:\n"
            + "\n".join(faults[:10])
            + "\nGive the plan that was applied: netsmith.save(netsmith.apply(original, plan), path, plan=plan)."
        )
