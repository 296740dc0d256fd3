"""RegMean: of each layer, the weight whose outputs come nearest to all models' on their own inputs, in closed form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..data.running import eval_mode
from ..errors import EvidenceError, InputError
from ..evidence import Activations, Forward, calibration_batches, device_of, ridge
from ..evidence.masks import sampled_rows
from ..evidence.patches import REFITTABLE, groups_of, input_rows, matrix_weight, weight_matrix
from ..wiring import Wiring, tensor_slots, trace
from ..wiring.capture import transparent_functional
from .merging_modules import merge_models

_RIDGE = 1e-6  # of the mean square of the inputs: inputs that are always zero say nothing


def regmean(
    models: Sequence[nn.Module],
    statistics: Sequence[Activations],
    *,
    alpha: float = 0.9,
    weights: Sequence[float] | None = None,
) -> nn.Module:
    """Merge models by least squares, layer by layer: W = (Σ Gᵢ)⁻¹ · Σ Gᵢ·Wᵢ with Gᵢ = E[x xᵀ] of layer inputs.

    Solved for every linear layer and convolution; everything else is averaged.

    Args:
        models: of one structure; not changed.
        statistics: of each, from ``evidence.activations(trace(model, ...), its data)``.
        alpha: what off-diagonal entries of G are multiplied with, 0 to 1; 1 overfits where data is little.
        weights: how much each model's errors count; None: the same.

    Returns:
        A model like the first.

    Raises:
        InputError: another number of statistics or weights than models, or an alpha out of range.
        EvidenceError: statistics of other models, or of weights that are not there.
        ModelError: models of different structure.

    Source: Jin et al., "Dataless Knowledge Fusion", ICLR 2023, arXiv:2212.09849.
    """
    shares = _shares(models, statistics, weights, alpha, "statistics")
    result = merge_models(models, parameters={"weight": 1.0}, each=[{"weight": s} for s in shares])
    slots = {slot.name: slot.tensor for slot in tensor_slots(result)}
    theirs = [{slot.name: slot.tensor for slot in tensor_slots(model)} for model in models]
    first = statistics[0]
    if any(each.layers.keys() != first.layers.keys() for each in statistics) or not first.layers.keys() <= slots.keys():
        raise EvidenceError("the statistics are of other layers; gather those of each model with evidence.activations")
    for name, layer in first.layers.items():
        grams = [each.layers[name].gram for each in statistics]
        if any(gram is None for gram in grams):
            continue  # too wide for a Gram matrix: the average stays
        known = [gram for gram in grams if gram is not None]
        _solve(slots[name], [t[name] for t in theirs], known, layer.name, alpha, shares)
    return result


def regmean_plus(
    models: Sequence[nn.Module],
    data: Sequence[Iterable[Any]],
    *,
    alpha: float = 0.9,
    weights: Sequence[float] | None = None,
    most_examples: int = 512,
    most_rows: int = 4096,
    seed: int = 0,
) -> nn.Module:
    """RegMean++: as ``regmean``, with the inputs that layers see in the merged model, solved from front to back.

    Memory is that of the live activations of all batches.

    Args:
        models, alpha, weights: as for ``regmean``.
        data: of each model, batches ``x`` or ``(x, y)``.
        most_examples: examples of each data set used at most.
        most_rows: rows (positions) sampled of each layer and batch.
        seed: of the sampled rows.

    Raises:
        InputError, ModelError: as for ``regmean``.
        EvidenceError: no data, or a forward whose path depends on values.

    Source: Nguyen et al., "RegMean++", 2025, arXiv:2508.03121.
    """
    shares = _shares(models, data, weights, alpha, "data sets")
    result = merge_models(models, parameters={"weight": 1.0}, each=[{"weight": s} for s in shares]).eval()
    slots = {slot.name: slot.tensor for slot in tensor_slots(result)}
    theirs = [{slot.name: slot.tensor for slot in tensor_slots(model)} for model in models]
    each_batches = [calibration_batches(d, most_examples=most_examples, device=device_of(result)) for d in data]
    generator = torch.Generator().manual_seed(seed)
    with eval_mode(result), torch.no_grad(), transparent_functional():
        stops = _solvable(trace(result, each_batches[0][0]))
        names = {index: function for index, (function, _) in stops.items()}
        forwards = [[Forward(result, inputs, names) for inputs in batches] for batches in each_batches]
        try:
            at = [[forward.resume() for forward in each] for each in forwards]
            while (head := at[0][0]) is not None:
                function, weight = stops[head.index]
                grams = []
                for stopped in at:
                    gram, count = None, 0
                    for stop in stopped:
                        assert stop is not None  # all go the same way
                        rows = sampled_rows(stop.run(), function, most_rows, generator)
                        x = input_rows(stop, rows).transpose(0, 1)  # (groups, rows, inputs)
                        product = (x.transpose(1, 2) @ x).double()
                        gram, count = (product if gram is None else gram + product), count + x.shape[1]
                    assert gram is not None
                    grams.append(gram / count)
                _solve(slots[weight], [t[weight] for t in theirs], grams, function, alpha, shares, groups_of(head))
                # The weight was written in place, so the calls now run with the solved one.
                outputs = [[stop.run() for stop in stopped if stop is not None] for stopped in at]
                at = [
                    [forward.resume(out) for forward, out in zip(each, outs, strict=True)]
                    for each, outs in zip(forwards, outputs, strict=True)
                ]
        finally:
            for each in forwards:
                for forward in each:
                    forward.abandon()
    result.train(models[0].training)
    return result


def _shares(
    models: Sequence[nn.Module], evidence: Sequence[Any], weights: Sequence[float] | None, alpha: float, what: str
) -> list[float]:
    if len(evidence) != len(models):
        raise InputError(f"regmean: {len(models)} models, but {len(evidence)} {what}; give one each, in the same order")
    if not 0 <= alpha <= 1:
        raise InputError(f"regmean: alpha is what off-diagonal entries are multiplied with, from 0 to 1, not {alpha}")
    shares = [1.0] * len(models) if weights is None else [float(w) for w in weights]
    if len(shares) != len(models) or min(shares) < 0 or sum(shares) <= 0:
        raise InputError(f"regmean: weights {shares} for {len(models)} models; give one ≥ 0 each, not all 0")
    return [share / sum(shares) for share in shares]


def _solvable(wiring: Wiring) -> Mapping[int, tuple[str, str]]:
    """Call -> (function, weight), for weights that are used once."""
    uses: dict[str, int] = {}
    for call in wiring.calls:
        for origin in call.origins:
            if origin.kind == "slot":
                uses[origin.name] = uses.get(origin.name, 0) + 1
    found = {}
    for index, call in enumerate(wiring.calls):
        at = 2 if call.name == "addmm" else 1
        if call.name in REFITTABLE and call.origins[at].kind == "slot" and uses[call.origins[at].name] == 1:
            found[index] = (call.name, call.origins[at].name)
    return found


@torch.no_grad()
def _solve(
    target: Tensor,
    theirs: Sequence[Tensor],
    grams: Sequence[Tensor],
    function: str,
    alpha: float,
    shares: Sequence[float],
    groups: int | None = None,
) -> None:
    """Write the solution into ``target``, which holds the average."""
    count = len(grams[0]) if groups is None else groups
    total = torch.zeros_like(grams[0], dtype=torch.float64)
    cross = torch.zeros_like(weight_matrix(target, function, count), dtype=torch.float64)
    for gram, weight, share in zip(grams, theirs, shares, strict=True):
        gram = gram.double() * share
        diagonal = gram.diagonal(dim1=1, dim2=2)
        gram = alpha * gram + (1 - alpha) * torch.diag_embed(diagonal)
        total += gram
        cross += gram @ weight_matrix(weight.detach().to(gram.device), function, count).double()
    if not bool(total.isfinite().all()):
        raise EvidenceError("the inputs of a layer are NaN or infinite on the data; run the models in float32")
    anchor = weight_matrix(target.detach(), function, count).double()
    target.copy_(matrix_weight(ridge(total, cross, anchor, _RIDGE), target, function))
