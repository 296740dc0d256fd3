"""What each layer's input looks like: means and second moments, gathered in one streaming pass.

They serve any number of scores and plans of one model, and can be kept in a file (``save_activations``). Memory is that
of one batch's forward and, per layer, one matrix of inputs by inputs; it does not grow with the data.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass
from typing import Any

import torch

from ..data.running import eval_mode
from ..errors import EvidenceError, InputError
from ..wiring import Wiring, trace
from ..wiring.capture import transparent_functional
from ..wiring.trace import as_run
from .batches import device_of, labelled_batches
from .masks import Mask, mask_of, sampled_rows
from .moments import Moments
from .patches import CONVOLUTIONS, REFITTABLE, input_rows
from .stepping import Forward, Stop

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class LayerInputs:
    """Moments of the rows x that one weight is multiplied with, for each group of a grouped convolution.

    Attributes:
        name: of the function, "linear", "addmm" or "conv2d"; inputs of a convolution are patches, channel-major.
        rows: how many were seen.
        mean: (groups, inputs) float32, E x.
        square: (groups, inputs) float32, E x².
        gram: (groups, inputs, inputs) float32, E x xᵀ; None where it was not wanted or the layer is too wide.
        gain: (groups, outputs) float32: by what a batch normalization right behind multiplies the layer's outputs; ones
            without one.
        free: the layer has a bias, or such a normalization, that can take up a constant.
    """

    name: str
    rows: int
    mean: torch.Tensor
    square: torch.Tensor
    gram: torch.Tensor | None
    gain: torch.Tensor
    free: bool

    @property
    def contracted(self) -> int:
        """The dimension of the weight that meets the input."""
        return 0 if self.name == "addmm" else 1

    def variance(self) -> torch.Tensor:
        """(groups, inputs), ≥ 0."""
        return (self.square - self.mean.square()).clamp_min(0)

    def covariance(self) -> torch.Tensor | None:
        """(groups, inputs, inputs) float64: of what no constant makes up for, where the layer can add one."""
        if self.gram is None:
            return None
        gram, mean = self.gram.double(), self.mean.double()
        return gram - mean.unsqueeze(2) * mean.unsqueeze(1) if self.free else gram


@dataclass(frozen=True)
class Activations:
    """Moments of the inputs of all linear layers and convolutions of one model.

    Attributes:
        layers: name of the weight -> its inputs.
        model: fingerprint of the model's structure and values.
    """

    layers: Mapping[str, LayerInputs]
    model: str


def activations(
    wiring: Wiring,
    data: Iterable[Any],
    *,
    mask: Mask | None = None,
    most_examples: int | None = None,
    most_rows: int = 4096,
    gram: bool = True,
    most_inputs: int = 4608,
    seed: int = 0,
    progress: Progress | None = None,
) -> Activations:
    """Run the data through the model once and gather the moments of what enters each linear layer and convolution.

    Args:
        wiring: of the model, from ``trace``.
        data: batches, each ``x`` or ``(x, y)``, any number of them; labels are not looked at.
        mask: inputs -> (examples, positions), false or 0 where padding is, which then does not count; e.g.
            ``lambda x: x["attention_mask"]``. Layers whose rows are no such positions count all.
        most_examples: examples used at most; None: all.
        most_rows: rows (positions) sampled of each layer and batch.
        gram: False gathers means and squares alone: enough for ``activation_variance`` and ``wanda``.
        most_inputs: of a wider layer (inputs per group) means and squares alone are gathered.
        seed: of the sampled rows.
        progress: called with (batches done, batches in all as far as the data says, "activations").

    Returns:
        The moments, on the model's device. Layers whose weight is computed in forward (a parametrization) are left out.

    Raises:
        InputError: data is no iterable, options out of range, or a mask of another shape.
        EvidenceError: empty data, values that are not finite, or a forward whose path depends on values.
    """
    _check(wiring, most_rows, most_inputs)
    model = wiring.model
    devices = sorted({t.get_device() for t in wiring.tensors.values() if t.is_cuda})
    total = len(data) if isinstance(data, Sized) else 0
    with torch.random.fork_rng(devices=devices), eval_mode(model), torch.no_grad():
        batches = labelled_batches(data, most_examples=most_examples, device=device_of(model))
        first, _ = next(batches)
        # Real calls; with a mask also the real sizes, which tell rows that go through the examples first.
        gathering = _Gathering(
            as_run(trace(model, first) if mask else wiring, first), mask, first, most_rows, gram, most_inputs, seed
        )
        for number, (inputs, _) in enumerate(itertools.chain([(first, None)], batches), start=1):
            gathering.add(inputs)
            if progress:
                progress(number, max(total, number), "activations")
    return Activations(gathering.layers(), identity(wiring))


def identity(wiring: Wiring) -> str:
    """Fingerprint of a model's structure and values: sha256 of both."""
    digest = hashlib.sha256(wiring.fingerprint.encode())
    for name in sorted(wiring.tensors.keys() - wiring.recomputed):
        tensor = wiring.tensors[name].detach()
        if tensor.is_floating_point():  # counters count on when nothing else changes
            digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _check(wiring: object, most_rows: object, most_inputs: object) -> None:
    if not isinstance(wiring, Wiring):
        raise InputError(f"wiring is a {type(wiring).__name__}; give what trace(model, example_inputs) returns")
    for name, value in (("most_rows", most_rows), ("most_inputs", most_inputs)):
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{name}={value!r} must be an int ≥ 1")


class _Gathering:
    """Running sums of every layer."""

    def __init__(
        self,
        wiring: Wiring,
        mask: Mask | None,
        first: Any,
        most_rows: int,
        gram: bool,
        most_inputs: int,
        seed: int,
    ):
        self.wiring, self.mask, self.most_rows = wiring, mask, most_rows
        self.widest = most_inputs if gram else 0
        self.generator = torch.Generator().manual_seed(seed)
        self.stops: dict[int, str] = {}
        self.weights: dict[int, str] = {}
        self.sums: dict[str, Moments] = {}
        self.calls: dict[str, int] = {}
        self.across: set[int] = set()
        shape = tuple(m.shape) if (m := mask_of(mask, first)) is not None else ()
        for index, call in enumerate(wiring.calls):
            at = 2 if call.name == "addmm" else 1
            if call.name not in REFITTABLE or call.origins[at].kind != "slot":
                continue
            if call.name in CONVOLUTIONS and len(call.inputs[0]) != len(call.inputs[1]):
                continue  # one image without a batch dimension
            self.stops[index], self.weights[index] = call.name, call.origins[at].name
            if len(shape) == 2 and tuple(call.inputs[at - 1][0]) == shape[::-1] != shape:
                self.across.add(index)

    def add(self, inputs: Any) -> None:
        counted = mask_of(self.mask, inputs)
        forward = Forward(self.wiring.model, inputs, self.stops)
        try:
            with transparent_functional():
                stop = forward.resume()
                while stop is not None:
                    out = stop.run()
                    self._gather(stop, out, counted)
                    stop = forward.resume(out)
        finally:
            forward.abandon()

    def _gather(self, stop: Stop, out: torch.Tensor, counted: torch.Tensor | None) -> None:
        weight, across = self.weights[stop.index], stop.index in self.across
        rows = sampled_rows(out, stop.name, self.most_rows, self.generator, counted, across)
        x = input_rows(stop, rows)  # (rows, groups, inputs)
        groups, inputs = x.shape[1:]
        wide = inputs > self.widest
        if weight not in self.sums:
            # Without a Gram matrix the rows are summed as targets: of those only squares are kept.
            self.sums[weight] = Moments(groups, 0 if wide else inputs, inputs if wide else 0, x.device)
            self.calls[weight] = stop.index
        nothing = x[:, :, :0]
        self.sums[weight].add(*((nothing, x) if wide else (x, nothing)))

    def layers(self) -> dict[str, LayerInputs]:
        behind = _normalizations(self.wiring)
        found = {}
        for weight, sums in self.sums.items():
            if not sums.rows:
                raise EvidenceError(f"the mask leaves no row of the input of {weight}; it must be true where data is")
            if not all(bool(part.isfinite().all()) for part in (sums.xx, sums.x, sums.t, sums.tt)):
                raise EvidenceError(
                    f"the input of {weight} is NaN or infinity on the data; run the model in float32, or mend it"
                )
            call, tensor = self.wiring.calls[self.calls[weight]], self.wiring.tensors[weight]
            gain = behind.get(self.calls[weight])
            outputs = tensor.shape[1 if call.name == "addmm" else 0]
            n, wide = sums.rows, not sums.xx.numel()
            found[weight] = LayerInputs(
                name=call.name,
                rows=n,
                mean=((sums.t if wide else sums.x) / n).float(),
                square=((sums.tt if wide else sums.xx.diagonal(dim1=1, dim2=2)) / n).float(),
                gram=None if wide else (sums.xx / n).float(),
                gain=(tensor.new_ones(outputs) if gain is None else gain).float().reshape(len(sums.x), -1),
                free=gain is not None or any(o.kind == "slot" and o.name != weight for o in call.origins),
            )
        return found


def _normalizations(wiring: Wiring) -> dict[int, torch.Tensor]:
    """Call -> gain/σ of the batch normalization that alone reads its result."""
    found = {}
    for index, readers in wiring.readers.items():
        if len(readers) != 1 or readers[0] < 0:
            continue
        call = wiring.calls[readers[0]]
        names = [origin.name for origin in call.origins[1:] if origin.kind == "slot"]
        if call.name == "batch_norm" and len(names) == 4:
            gain, _, _, variance = (wiring.tensors[name].detach().float() for name in names)
            found[index] = gain / (variance + float(call.note)).sqrt()
    return found
