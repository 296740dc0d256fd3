"""Brings the units of one trained model into the order of another's, so that their weights can be averaged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import EvidenceError, InputError, ModelError
from ..surgery import permute
from ..wiring import Wiring, fingerprint, tensor_slots
from .activation_matching import correlations, match_activations
from .permutations import movable
from .weight_matching import match_weights

METHODS = ("weights", "activations")


@dataclass(frozen=True)
class Aligned:
    """A model in another's order.

    Attributes:
        model: computes what the given one does.
        orders: axis -> the given model's unit for each unit of the reference.
        left: free axes that were not reordered -> why.
        before, after: what was maximised: the sum of products of weights, or the mean correlation of matched units.
        error: largest difference between the outputs of ``model`` and the given one on the wiring's example inputs,
            relative to the largest output.
    """

    model: nn.Module
    orders: Mapping[str, list[int]]
    left: Mapping[str, str]
    before: float
    after: float
    error: float


def align(
    wiring: Wiring,
    model: nn.Module,
    *,
    data: Iterable[Any] | None = None,
    method: str = "weights",
    most_examples: int = 512,
    tolerance: float = 1e-5,
    seed: int = 0,
) -> Aligned:
    """Reorder the units of a model so that they match those of the wiring's model: its function stays.

    Every free axis of the wiring is reordered as one, in all tensors that it runs through: residual streams, whole
    heads and the units inside them, channels inside groups. Axes whose units have a place are found by trying and stay.

    Args:
        wiring: of the reference, from ``trace``.
        model: of the same structure, trained from another seed or on other data; not changed.
        data: batches, each ``x`` or ``(x, y)``; needed for "activations".
        method: "weights" needs no data; "activations" matches correlations and is the better one where weights of two
            seeds have little in common. Axes that no matrix takes in are then matched by weights.
        most_examples: for "activations".
        tolerance: of the outputs, relative to the largest: an axis that moves them further is left as it is.
        seed: of what is tried and of the order of axes.

    Raises:
        InputError: an unknown method.
        EvidenceError: "activations" without data.
        ModelError: models of different structure, or one that does not give the same outputs twice.

    Example:
        >>> aligned = align(trace(a, x), b, data=batches, method="activations")  # doctest: +SKIP
        >>> soup = repair(merge_models([a, aligned.model]), [a, aligned.model], batches)  # doctest: +SKIP

    Source: Ainsworth et al., "Git Re-Basin", ICLR 2023, arXiv:2209.04836.
    """
    if method not in METHODS:
        raise InputError(f"align: method={method!r} is unknown; there are {', '.join(map(repr, METHODS))}")
    if method == "activations" and data is None:
        raise EvidenceError("align: method='activations' needs data: batches of inputs, labels are not looked at")
    if not isinstance(model, nn.Module) or fingerprint(model) != wiring.fingerprint:
        raise ModelError(
            f"align: this {type(model).__name__} has another structure than the model that was traced; only models of "
            "one structure can be aligned"
        )
    found = movable(wiring, model=model, tolerance=tolerance, seed=seed)
    ours = {name: t.detach() for name, t in wiring.tensors.items()}
    theirs = {slot.name: slot.tensor.detach() for slot in tensor_slots(model)}
    orders: dict[str, list[int]] = {}
    if method == "activations":
        similarity = correlations(wiring, model, found.axes, data or [], most_examples=most_examples, seed=seed)
        orders = match_activations(similarity)
        before, after = _matched(similarity, None), _matched(similarity, orders)
        rest = [name for name in found.axes if name not in orders]
        if rest:
            theirs = {slot.name: slot.tensor.detach() for slot in tensor_slots(permute(model, wiring, orders))}
            orders |= match_weights(wiring, ours, theirs, rest, seed=seed).orders
    else:
        matched = match_weights(wiring, ours, theirs, found.axes, seed=seed)
        orders, before, after = matched.orders, matched.before, matched.after
    orders = {name: order for name, order in orders.items() if order != list(range(len(order)))}
    result = permute(model, wiring, orders)
    return Aligned(result, orders, found.left, before, after, found.error)


def _matched(similarity: Mapping[str, torch.Tensor], orders: Mapping[str, list[int]] | None) -> float:
    """Mean correlation of the units that are opposite each other."""
    each = [
        s.diagonal().mean() if orders is None else s[torch.arange(len(s)), torch.tensor(orders[axis])].mean()
        for axis, s in similarity.items()
    ]
    return float(torch.stack(each).mean()) if each else 0.0
