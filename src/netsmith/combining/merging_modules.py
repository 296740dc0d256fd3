"""Merges models in memory: the methods of recipes on modules of one structure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, ModelError
from ..wiring import Slot, tensor_slots
from ..wiring.copying import copied
from .chunks import merged
from .layer_names import LayerNames, layer_names
from .merge_methods import METHODS
from .merge_plan import method_for, pieces_of
from .merge_recipe import MergeRecipe, read_recipe

_LISTED = 8


def merge_models(
    models: Sequence[nn.Module],
    method: str = "linear",
    *,
    base: nn.Module | None = None,
    parameters: Mapping[str, Any] | None = None,
    each: Sequence[Mapping[str, Any]] | None = None,
    seed: int = 0,
) -> nn.Module:
    """One model out of several of the same structure.

    Weights and floating-point buffers are merged alike; after merging, statistics of batch normalizations describe no
    model, so recompute them (``repair``). Integers are those of the first model (of the base).

    Args:
        models: of one structure; for methods with a base, those that were trained from it.
        method: a name in ``METHODS``: "linear", "slerp", "ties", ...
        base: what the models were trained from, for the methods that need it. Of ``slerp`` it is the one at t=0.
        parameters: as under ``parameters`` of a recipe: name -> number, list of numbers over the layers, or list of
            {"filter": ..., "value": ...}. "weight" is 1 where nothing is said.
        each: the same for each model; goes before ``parameters``.
        seed: for methods that drop differences at random.

    Returns:
        A new model like the first (the base), in its mode, on its devices, with its dtypes; ties between tensors stay.

    Raises:
        InputError: an unknown method or parameter, a base that is missing, or a wrong number of models.
        ModelError: models of different structure; the message lists where.

    Example:
        >>> soup = merge_models([a, b, c])  # doctest: +SKIP
        >>> both = merge_models([a, b], "ties", base=start, parameters={"density": 0.5})  # doctest: +SKIP
    """
    everyone = [*([base] if base is not None else []), *models]
    if not models or not all(isinstance(model, nn.Module) for model in everyone):
        raise InputError("merge_models: models is a list of at least one torch.nn.Module, and base one or None")
    if each is not None and len(each) != len(models):
        raise InputError(f"merge_models: each has {len(each)} entries for {len(models)} models")
    recipe = _recipe(method, len(models), base is not None, parameters, each, seed)
    if base is not None and not METHODS[method].base:
        raise InputError(f"merge_models: {method} takes no base; leave it out, or put it among the models")
    slots = [{slot.name: slot for slot in tensor_slots(model)} for model in everyone]
    check_alike(slots)
    names = layer_names(slots[0])
    piece = pieces_of(recipe, {m: names for m in ["base", *map(str, range(len(models)))]})[0]

    def combine(name: str, tensors: Sequence[Tensor]) -> Tensor:
        share = _share(names, name)
        return merged(method_for(recipe, piece, name, [name] * len(piece.parts), share), tensors, name=name)

    return combined(everyone, combine)


def combined(models: Sequence[nn.Module], combine: Callable[[str, Sequence[Tensor]], Tensor]) -> nn.Module:
    """A copy of the first model with every floating-point tensor replaced by what ``combine`` makes of all models'.

    Args:
        models: of one structure (``check_alike``).
        combine: (name, that tensor of every model on the first one's device) -> tensor of the same shape and dtype.
    """
    slots = [{slot.name: slot for slot in tensor_slots(model)} for model in models]
    memo: dict[int, Any] = {}
    with torch.no_grad():
        for name, slot in slots[0].items():
            own = slot.tensor
            if id(own) in memo:
                continue
            if own.is_floating_point():
                result = combine(name, [s[name].tensor.detach().to(own.device) for s in slots])
                memo[id(own)] = nn.Parameter(result, own.requires_grad) if isinstance(own, nn.Parameter) else result
            elif not own.is_leaf:
                memo[id(own)] = own.detach().clone()
    return copied(models[0], memo)


def check_alike(slots: Sequence[Mapping[str, Slot]]) -> None:
    """Raise ModelError unless all models have tensors of the same names and shapes."""
    faults = []
    for number, other in enumerate(slots[1:], start=1):
        for name in sorted(slots[0].keys() ^ other.keys()):
            there, absent = (0, number) if name in slots[0] else (number, 0)
            faults.append(f"{name}: in model {there}, not in model {absent}")
        for name in slots[0].keys() & other.keys():
            first, second = slots[0][name].tensor, other[name].tensor
            if first.shape != second.shape:
                faults.append(f"{name}: {tuple(first.shape)} in model 0, {tuple(second.shape)} in model {number}")
            elif first.is_floating_point() != second.is_floating_point():
                faults.append(f"{name}: {first.dtype} in model 0, {second.dtype} in model {number}")
    meta = [name for each in slots for name, slot in each.items() if slot.tensor.is_meta]
    faults += [f"{name}: on the meta device, so it has no values" for name in meta]
    if faults:
        more = [f"  and {len(faults) - _LISTED} more"] if len(faults) > _LISTED else []
        listed = "\n".join([f"  {fault}" for fault in sorted(faults)[:_LISTED]] + more)
        raise ModelError(f"only models of one structure can be merged; these differ:\n{listed}")


def _recipe(
    method: str,
    count: int,
    base: bool,
    parameters: Mapping[str, Any] | None,
    each: Sequence[Mapping[str, Any]] | None,
    seed: int,
) -> MergeRecipe:
    shared = dict(parameters or {})
    if method in METHODS and "weight" in METHODS[method].each:
        shared.setdefault("weight", 1.0)
    return read_recipe(
        {
            "merge_method": method,
            "models": [{"model": str(i), "parameters": dict(each[i]) if each else {}} for i in range(count)],
            "parameters": shared,
            "seed": seed,
            **({"base_model": "base"} if base else {}),
        }
    )


def _share(names: LayerNames, name: str) -> float:
    layer = names.layer(name)
    if layer is None:
        return 0.0
    return layer / (names.count - 1) if names.count > 1 else 1.0
