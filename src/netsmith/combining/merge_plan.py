"""From a recipe and the headers of its checkpoints: which tensors the result has, and what each is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from ..errors import InputError, ModelError
from .checkpoint_folder import CheckpointFolder, Stored
from .chunks import Method
from .layer_names import LayerNames, check_range, comes_before, layer_names
from .merge_methods import METHODS
from .merge_recipe import InputModel, MergeRecipe, OutputSlice, Parameters
from .merge_settings import Setting, setting_of

_LISTED = 8


@dataclass(frozen=True)
class Part:
    """One source of the tensors of a slice, the base included.

    Attributes:
        model: as the recipe names it.
        first: its layer that becomes the slice's first.
        settings: where its parameters are looked up, what counts most first.
    """

    model: str
    first: int
    settings: tuple[Parameters, ...]


@dataclass(frozen=True)
class Piece:
    """A slice of the result: layers ``start`` to ``start + length`` of it, from these parts."""

    start: int
    length: int
    parts: tuple[Part, ...]
    shared: tuple[Parameters, ...]


@dataclass(frozen=True)
class MergedTensor:
    """One tensor of the result.

    Attributes:
        name, dtype: of the result.
        stored: its sources, the base first where the method has one.
        method: None for integers, which are taken from the first source.
        ranked: the dtype in which differences from the base are ranked.
    """

    name: str
    dtype: torch.dtype
    stored: tuple[Stored, ...]
    method: Method | None = field(repr=False)
    ranked: torch.dtype


def pieces_of(recipe: MergeRecipe, names: Mapping[str, LayerNames]) -> list[Piece]:
    """The slices of a recipe; ``models`` are one slice of all layers.

    Raises:
        InputError: a number of models that the method does not take, a base that is missing, or layers that are not
            there.
    """
    if recipe.slices is None:
        models = recipe.models or []
        parts = _parts(recipe, recipe.base_model, [(m, 0) for m in models])
        length = names[parts[0].model].count
        return [Piece(0, length, parts, (recipe.parameters,))]
    pieces: list[Piece] = []
    start = 0
    for each in recipe.slices:
        pieces.append(_piece(recipe, each, start, names))
        start += pieces[-1].length
    return pieces


def _piece(recipe: MergeRecipe, each: OutputSlice, start: int, names: Mapping[str, LayerNames]) -> Piece:
    for source in each.sources:
        check_range(source.layer_range, names[source.model], source.model)
    sources = [(InputModel(model=s.model, parameters=s.parameters), s.layer_range[0]) for s in each.sources]
    base = each.base_model or recipe.base_model
    if METHODS[recipe.merge_method].base and base not in [s.model for s in each.sources]:
        raise InputError(f"slices: the base_model {base} must be among the sources, so that its layers are known")
    length = each.sources[0].layer_range[1] - each.sources[0].layer_range[0]
    shared = (each.parameters, recipe.parameters)
    return Piece(start, length, _parts(recipe, base, sources, each.parameters), shared)


def _parts(
    recipe: MergeRecipe,
    base: str | None,
    sources: Sequence[tuple[InputModel, int]],
    of_slice: Mapping[str, Setting] | None = None,
) -> tuple[Part, ...]:
    method = METHODS[recipe.merge_method]
    scopes = (dict(of_slice or {}), recipe.parameters)
    parts = [Part(m.model, first, (m.parameters, *scopes)) for m, first in sources]
    if method.base:
        own = next((p for p in parts if p.model == base), Part(str(base), 0, scopes))
        parts = [own, *(p for p in parts if p.model != base)]
    count = len(parts) - method.base
    if count < method.least or (method.most is not None and count > method.most):
        at_least = f"{method.least}" if method.most == method.least else f"at least {method.least}"
        beside = " beside the base_model" if method.base else ""
        raise InputError(f"{recipe.merge_method} takes {at_least} model{beside}, not {count}")
    return tuple(parts)


def plan_merge(recipe: MergeRecipe, checkpoints: Mapping[str, CheckpointFolder]) -> list[MergedTensor]:
    """Every tensor of the result, in the order of the first checkpoint's files.

    Raises:
        InputError: parameters that the method cannot use, or layers that are not there.
        ModelError: tensors that are missing in some checkpoint, or differ in shape or, without a ``dtype`` in the
            recipe, in dtype; the message lists them.
    """
    names = {model: layer_names(checkpoint.tensors) for model, checkpoint in checkpoints.items()}
    pieces = pieces_of(recipe, names)
    planned: list[MergedTensor] = []
    faults: list[str] = []
    for number, piece in enumerate(pieces):
        first = piece.parts[0]
        style = names[first.model]
        outside = [n for n in checkpoints[first.model].tensors if style.layer(n) is None]
        wanted = [n for n in outside if number == (0 if comes_before(n) else len(pieces) - 1)]
        inside = [n for n in checkpoints[first.model].tensors if style.layer(n) is not None]
        for name in inside:
            offset = (style.layer(name) or 0) - first.first
            if 0 <= offset < piece.length:
                sources = [style.at(name, part.first + offset) for part in piece.parts]
                share = offset / (piece.length - 1) if piece.length > 1 else 1.0
                out = style.at(name, piece.start + offset)
                _add(planned, faults, recipe, piece, checkpoints, out, sources, share)
        for name in wanted:
            _add(planned, faults, recipe, piece, checkpoints, name, [name] * len(piece.parts), 0.0)
        if len(pieces) == 1 and recipe.slices is None:
            for part in piece.parts[1:]:
                extra = checkpoints[part.model].tensors.keys() - checkpoints[first.model].tensors.keys()
                faults += [f"{name}: in {part.model}, but not in {first.model}" for name in sorted(extra)]
    if faults:
        more = [f"  and {len(faults) - _LISTED} more"] if len(faults) > _LISTED else []
        raise ModelError(
            f"the checkpoints do not fit each other ({len(faults)} disagreements):\n"
            + "\n".join([f"  {fault}" for fault in faults[:_LISTED]] + more)
            + "\nOnly models of one architecture can be merged; nothing was written."
        )
    return planned


def _add(
    planned: list[MergedTensor],
    faults: list[str],
    recipe: MergeRecipe,
    piece: Piece,
    checkpoints: Mapping[str, CheckpointFolder],
    out: str,
    names: Sequence[str],
    share: float,
) -> None:
    """Plan one tensor, or say what is wrong with it."""
    found = [checkpoints[part.model].tensors.get(name) for part, name in zip(piece.parts, names, strict=True)]
    missing = [p.model for p, stored in zip(piece.parts, found, strict=True) if stored is None]
    if missing:
        faults.append(f"{out}: not in {', '.join(missing)}")
        return
    stored = tuple(s for s in found if s is not None)
    if len({s.shape for s in stored}) > 1:
        faults.append(
            f"{out}: " + ", ".join(f"{s.shape} in {p.model}" for p, s in zip(piece.parts, stored, strict=True))
        )
        return
    kinds = {s.dtype for s in stored}
    if len(kinds) > 1 and (recipe.dtype is None or not all(k.is_floating_point for k in kinds)):
        listed = ", ".join(f"{s.dtype} in {p.model}" for p, s in zip(piece.parts, stored, strict=True))
        faults.append(f"{out}: {listed}; name a dtype in the recipe")
        return
    dtype = stored[0].dtype
    if not dtype.is_floating_point:
        planned.append(MergedTensor(out, dtype, stored[:1], None, dtype))
        return
    ranked = getattr(torch, recipe.dtype) if recipe.dtype else dtype
    kept = getattr(torch, recipe.out_dtype) if recipe.out_dtype else ranked
    planned.append(MergedTensor(out, kept, stored, method_for(recipe, piece, out, names, share), ranked))


def method_for(recipe: MergeRecipe, piece: Piece, name: str, names: Sequence[str], share: float) -> Method:
    """The method with its parameters for one tensor.

    Raises:
        InputError: a parameter without a value, or with one that the method cannot use.
    """
    method = METHODS[recipe.merge_method]
    shared = {key: setting_of(key, value, piece.shared, name, share) for key, value in method.shared.items()}
    each = [
        {key: setting_of(key, value, part.settings, own, share) for key, value in method.each.items()}
        for part, own in list(zip(piece.parts, names, strict=True))[method.base :]
    ]
    return method.build(shared, each, recipe.seed)
