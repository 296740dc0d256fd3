"""REPAIR: gives the units of an averaged model back the spread that averaging took from them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..data.running import eval_mode
from ..errors import InputError
from ..evidence import Forward, Stop, calibration_batches, device_of, examples_in
from ..evidence.apart import apart
from ..wiring import Wiring, call_model, trace
from ..wiring.capture import transparent_functional

_AFFINE = {"linear": -1, "conv1d": 1, "conv2d": 1, "conv3d": 1}  # name -> dimension of the output's units
_SMALL = 1e-6


def repair(
    merged: nn.Module,
    models: Sequence[nn.Module],
    data: Iterable[Any],
    *,
    weights: Sequence[float] | None = None,
    most_examples: int = 512,
) -> nn.Module:
    """Rescale and shift the units of a merged model; recompute the statistics of its batch normalizations.

    Averages of units that are only alike vary less than the units do, layer after layer. Of every linear layer and
    convolution with a bias (except the last, and those behind which a batch normalization takes care of it), each
    unit's outputs are given the mean of the models' means and of their standard deviations; then running statistics are
    recomputed. A model without either comes back as it is.

    Args:
        merged: an average of ``models``; not changed.
        models: what it was made of, of the same structure.
        data: batches, each ``x`` or ``(x, y)``, like those of training.
        weights: of the models in the average, for what their statistics are averaged to; None: the same.
        most_examples: examples used at most.

    Returns:
        A repaired copy, in eval mode.

    Raises:
        InputError: no models, or as many weights as models are missing.
        EvidenceError: no data, or a forward whose path depends on values.

    Source: Jordan et al., "REPAIR", ICLR 2023, arXiv:2211.08403.
    """
    if not models:
        raise InputError("repair: give the models that were merged")
    shares = [1.0] * len(models) if weights is None else [float(w) for w in weights]
    if len(shares) != len(models) or sum(shares) <= 0:
        raise InputError(f"repair: {len(shares)} weights for {len(models)} models; give one each, with a positive sum")
    shares = [share / sum(shares) for share in shares]
    result = copy.deepcopy(merged).eval()
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(result))
    everyone = [result, *models]
    with torch.no_grad():
        wiring = trace(result, batches[0])
        stops = _repairable(wiring)
        if stops:
            _match_statistics(everyone, stops, wiring, batches, shares)
        recompute_statistics(result, batches)
    return result


def recompute_statistics(model: nn.Module, batches: Sequence[Any]) -> None:
    """Cumulative running statistics of all batch normalizations over these inputs, in place."""
    layers = [m for m in model.modules() if isinstance(m._buffers.get("running_mean"), Tensor)]
    used = [inputs for inputs in batches if examples_in(inputs) > 1]
    if not layers or not used:
        return
    momenta = [layer.momentum for layer in layers]
    with eval_mode(model), torch.no_grad():
        for layer in layers:
            layer.reset_running_stats()  # type: ignore[operator]
            layer.momentum = None  # type: ignore[assignment]
            layer.training = True
        for inputs in used:
            call_model(model, inputs)
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def _repairable(wiring: Wiring) -> dict[int, tuple[str, str, str]]:
    """Call -> (function, weight, bias): used once, and not read by a batch normalization nor given out."""
    found: dict[int, tuple[str, str, str]] = {}
    uses: dict[str, int] = {}
    for call in wiring.calls:
        for origin in call.origins:
            if origin.kind == "slot":
                uses[origin.name] = uses.get(origin.name, 0) + 1
    tied = set(wiring.aliases.values())
    for index, call in enumerate(wiring.calls):
        slots = [o.name for o in call.origins[1:] if o.kind == "slot"]
        if call.name not in _AFFINE or len(call.origins) != 3 or len(slots) != 2:
            continue
        if any(uses[name] > 1 or name in tied for name in slots):
            continue
        readers = wiring.readers.get(index, [])
        if -1 in readers or any(wiring.calls[r].name == "batch_norm" for r in readers):
            continue
        found[index] = (call.name, *slots)  # type: ignore[assignment]
    return found


def _match_statistics(
    models: Sequence[nn.Module],
    stops: dict[int, tuple[str, str, str]],
    wiring: Wiring,
    batches: Sequence[Any],
    shares: Sequence[float],
) -> None:
    """Layer by layer, every model's batches in step, the merged one first and as already repaired."""
    result = models[0]
    slots = {**dict(result.named_parameters()), **dict(result.named_buffers())}
    names = {index: name for index, (name, _, _) in stops.items()}
    with transparent_functional():
        forwards = [[Forward(apart(wiring, model), inputs, names) for inputs in batches] for model in models]
        try:
            at = [[forward.resume() for forward in each] for each in forwards]
            while at[0][0] is not None:
                index = at[0][0].index
                name, weight, bias = stops[index]
                outputs = [[_run(stop) for stop in each] for each in at]
                if weight in slots and bias in slots:
                    found = [_statistics(each, _AFFINE[name]) for each in outputs]
                    mean = sum(share * m for share, (m, _) in zip(shares, found[1:], strict=True))
                    spread = sum(share * s for share, (_, s) in zip(shares, found[1:], strict=True))
                    own_mean, own_spread = found[0]
                    factor = torch.where(own_spread > _SMALL, spread / own_spread.clamp_min(_SMALL), 1.0)
                    shift = mean - factor * own_mean
                    w, b = slots[weight], slots[bias]
                    w.mul_(factor.to(w).view(-1, *[1] * (w.dim() - 1)))
                    b.copy_((b.double() * factor + shift).to(b))
                    at_units = [
                        -1 if d == _AFFINE[name] % outputs[0][0].dim() else 1 for d in range(outputs[0][0].dim())
                    ]
                    outputs[0] = [o * factor.to(o).view(at_units) + shift.to(o).view(at_units) for o in outputs[0]]
                at = [
                    [forward.resume(out) for forward, out in zip(each, outs, strict=True)]
                    for each, outs in zip(forwards, outputs, strict=True)
                ]
        finally:
            for each in forwards:
                for forward in each:
                    forward.abandon()


def _run(stop: Stop | None) -> Tensor:
    assert stop is not None  # all models stop at the same calls
    out: Tensor = stop.run()
    return out


def _statistics(outputs: Sequence[Tensor], dim: int) -> tuple[Tensor, Tensor]:
    """(mean, standard deviation) of each unit, float64."""
    rows = [o.movedim(dim, 0).flatten(1).double() for o in outputs]
    count = sum(r.shape[1] for r in rows)
    mean = sum((r.sum(1) for r in rows), torch.zeros(len(rows[0]), dtype=torch.float64)) / count
    square = sum(((r - mean[:, None]).square().sum(1) for r in rows), torch.zeros_like(mean)) / count
    return mean, square.sqrt()
