"""Repairs an edited network without training: every layer behind a removal is fitted again by least squares.

The original and the edited network go through the calibration batches in step. At each linear layer or convolution
whose input has changed, the weight is refitted by ridge regression so that, *given what now arrives*, the layer gives
what the original's gave. A layer that ends a residual branch is fitted towards the original's sum of branch and
shortcut, so it also corrects what the shortcut brings wrong. The ridge pulls towards the plain weights. A refit that
does not help on held-out calibration rows is undone.

Sources: layer-wise reconstruction as in He et al., ICCV 2017, arXiv:1707.06168, with the asymmetric targets of Frantar
& Alistarh, NeurIPS 2022, arXiv:2208.11580; the residual target is this project's own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from ..data.freed_memory import freed_memory_kept
from ..data.running import eval_mode
from ..evidence import Forward, Moments, Stop, calibration_batches, device_of
from ..evidence.apart import apart
from ..evidence.formats import channels_last
from ..evidence.masks import Mask, mask_of, sampled_rows
from ..evidence.patches import CONVOLUTIONS, groups_of, input_rows, matrix_weight, output_rows, weight_matrix
from ..evidence.side_by_side import each
from ..plans import Plan
from ..surgery import apply
from ..wiring import Wiring, tensor_slots
from ..wiring.capture import transparent_functional
from ..wiring.recorder import tensors_in
from ..wiring.trace import as_run
from .fitting import TINY, Linear, Sample, fitted
from .folding import Folding, carry_out_folding, clusters
from .norms import restate
from .refits import Refit, find_refits
from .repaired import Repaired

Progress = Callable[[int, int, str], None]

_ROWS_PER_INPUT, _FEWEST_ROWS = 100, 10_000  # fewer fit what they see and not what comes


@freed_memory_kept()
def compensate(
    wiring: Wiring,
    plan: Plan,
    data: Iterable[Any],
    *,
    most_examples: int = 1024,
    most_rows: int = 60_000,
    strength: float = 1e-2,
    steps: int = 4,
    fold: bool | Collection[str] | Folding = False,
    mask: Mask | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Repaired:
    """Apply a plan and refit every layer behind the removals.

    Args:
        wiring: of the original model.
        plan: a plan for it.
        data: unlabelled calibration batches, each ``x`` or ``(x, y)``; labels are not looked at.
        most_examples: examples used at most.
        most_rows: rows (positions) sampled for each layer, over all batches; layers with few inputs make do with less.
        strength: ridge penalty, as a share of the mean input variance.
        steps: of refinement where a rectifier follows: what it cuts off need not be reproduced. 0: none.
        fold: merge removed units with similar ones that stay first, on all axes that allow it or on those named; see
            ``folding``. It did not help where it was measured: docs/python.md. A ``Folding`` of the plan says which
            unit goes where.
        mask: inputs -> (examples, positions), false or 0 where padding is, which then does not count; e.g.
            ``lambda x: x["attention_mask"]``.
        seed: of the sampled positions.
        progress: called with (layers done, layers in all, name of the layer).

    Returns:
        The repaired model and its plan. The caller's model is not changed.

    Raises:
        EvidenceError: empty data, values that are not finite, or a forward whose path depends on values.
    """
    folding = None
    if fold is False:
        model = apply(wiring.model, plan).eval()
    else:
        folding = fold if isinstance(fold, Folding) else clusters(wiring, plan, axes=None if fold is True else fold)
        folded = carry_out_folding(wiring, folding)
        model, plan = folded.model, folded.plan
    refits = find_refits(wiring, plan)
    if not refits:
        return Repaired(model, plan, {})
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(wiring.model))
    batches = channels_last(wiring.model, batches)
    wiring = as_run(wiring, batches[0])
    refits = find_refits(wiring, plan)
    counted = [mask_of(mask, inputs) for inputs in batches]
    pass_ = _Pass(wiring, plan, model, refits, batches, counted, most_rows, strength, steps, seed, folding)
    with eval_mode(wiring.model):
        try:
            with transparent_functional(), torch.no_grad():
                pass_.run(progress)
        finally:
            pass_.end()
    return Repaired(model, plan.with_refitted(pass_.refitted), pass_.errors)


class _Pass:
    """The original's and the edited network's forwards of all batches, going in step."""

    def __init__(
        self,
        wiring: Wiring,
        plan: Plan,
        model: nn.Module,
        refits: Sequence[Refit],
        batches: Sequence[Any],
        counted: Sequence[torch.Tensor | None],
        most_rows: int,
        strength: float,
        steps: int,
        seed: int,
        folding: Folding | None,
    ):
        self.folding = folding
        self.plan, self.refits, self.strength, self.steps = plan, refits, strength, steps
        self.most_rows, self.counted = most_rows, counted
        self.held_out = len(batches) - 1 if len(batches) > 3 else -1  # the last batch judges the refits
        self.slots = {slot.name: slot.tensor for slot in tensor_slots(model)}
        self.errors: dict[str, tuple[float, float]] = {}
        self.refitted: set[str] = set()
        self.generator = torch.Generator().manual_seed(seed)
        calls = {i for r in refits for i in (r.call, *r.chain, r.target) if i >= 0}
        stops = {i: wiring.calls[i].name for i in sorted(calls)}
        ends = {i: stops[i] for r in refits for i in (r.target if r.target >= 0 else r.call,)}
        self.order = list(stops)
        self.device = device_of(model)
        self.originals = [Forward(apart(wiring, wiring.model), x, ends) for x in batches]
        self.edited = [Forward(apart(wiring, model), x, stops) for x in batches]
        self.by_end = {r.target if r.target >= 0 else r.call: r for r in refits}
        self.by_call = {r.call: r for r in refits}

    def end(self) -> None:
        for forward in (*self.originals, *self.edited):
            forward.abandon()

    def run(self, progress: Progress | None) -> None:
        answers: list[Any] = [None] * len(self.edited)
        promised: list[Any] = [None] * len(self.edited)
        memory: list[dict[int, tuple[Stop, Any]]] = [{} for _ in self.edited]
        done = 0
        for index in self.order:
            stops = each(_resumed, zip(self.edited, answers, strict=True), self.device)
            refit = self.by_end.get(index)
            if refit is None:
                answers = each(Stop.run, stops, self.device)
                for memo, stop, answer in zip(memory, stops, answers, strict=True):
                    memo[index] = (stop, answer)
                continue
            originals = each(_resumed, zip(self.originals, promised, strict=True), self.device)
            promised = each(Stop.run, originals, self.device)
            if refit.target >= 0 and refit.call not in memory[0]:
                raise AssertionError(f"call {refit.call} was not seen before its target {refit.target}")
            answers = self._refit(refit, stops, promised, memory)
            for memo, stop, answer in zip(memory, stops, answers, strict=True):
                memo[index] = (stop, answer)
                for old in [i for i in memo if i not in self._still_needed(index)]:
                    del memo[old]
            done += 1
            if progress:
                progress(done, len(self.refits), refit.weight)

    def _still_needed(self, index: int) -> set[int]:
        """Calls whose arguments a later target will replay."""
        return {i for r in self.refits if r.target > index for i in (r.call, *r.chain)}

    def _refit(
        self, refit: Refit, stops: list[Stop], promised: list[Any], memory: list[dict[int, tuple[Stop, Any]]]
    ) -> list[Any]:
        layer = [memo[refit.call][0] if refit.target >= 0 else stop for memo, stop in zip(memory, stops, strict=True)]
        groups = groups_of(layer[0])
        weight = self.slots[refit.weight]
        matrix = weight_matrix(weight.detach(), refit.name, groups)
        inputs, outputs = matrix.shape[1:]
        scale, shift = self._affine(refit, groups, outputs)
        wanted_rows = min(self.most_rows, max(_FEWEST_ROWS, _ROWS_PER_INPUT * inputs))
        rows_per_batch = max(wanted_rows // len(layer), 1)
        divisor = torch.where(scale.abs() < TINY, 1.0, scale)
        samples = [
            Sample(groups, inputs, outputs, refit.limits, len(layer), weight.device)
            for _ in range(2 if self.held_out >= 0 else 1)
        ]
        rows = [
            sampled_rows(target, refit.name, rows_per_batch, self.generator, counted)
            for target, counted in zip(promised, self.counted, strict=True)
        ]

        def regression(i: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            wanted = self._kept(refit, promised[i])
            x, t = input_rows(layer[i], rows[i]), output_rows(wanted, refit.name, rows[i], groups)
            if refit.target < 0:
                return x, t, t * scale + shift
            branch = memory[i][refit.chain[-1] if refit.chain else refit.call][1]
            other = output_rows(_summand(stops[i], wanted, branch), refit.name, rows[i], groups)
            return x, (other - shift) / divisor, t

        for i, found in enumerate(each(regression, range(len(layer)), self.device)):
            samples[-1 if i == self.held_out else 0].add(*found)
        self._solve(refit, samples[0], samples[-1], matrix, scale)
        return each(lambda pair: self._replay(refit, *pair), zip(stops, memory, strict=True), self.device)

    def _kept(self, refit: Refit, target: torch.Tensor) -> torch.Tensor:
        """The original's output, restricted to the units that the edited layer still makes, or folded into them."""
        dim = 1 if refit.name == "addmm" else 0
        positions = self.plan.kept(refit.weight).get(dim) if refit.weight in self.plan.layouts else None
        if positions is None:
            return target
        channel = 1 if refit.name in CONVOLUTIONS else target.dim() - 1
        if self.folding is not None:
            folded = self.folding.folded(refit.weight, dim, target, channel, mean=True)
            if folded is not None:
                return folded
        return target.index_select(channel, torch.tensor(positions, device=target.device))

    def _affine(self, refit: Refit, groups: int, outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale and shift (groups, outputs) from the layer's raw output through the normalization behind it."""
        device = self.slots[refit.weight].device
        if not refit.norm:
            return torch.ones(groups, outputs, device=device), torch.zeros(groups, outputs, device=device)
        gain, bias, mean, var = (self.slots[name].detach().float() for name in refit.norm)
        factor = gain / (var + refit.epsilon).sqrt()
        return factor.reshape(groups, outputs), (bias - mean * factor).reshape(groups, outputs)

    def _solve(self, refit: Refit, train: Sample, judge: Sample, matrix: torch.Tensor, scale: torch.Tensor) -> None:
        """Fit, judge, and write the weight, bias and normalization if the fit is better."""
        bias = torch.zeros_like(scale) if not refit.bias else self.slots[refit.bias].detach().reshape(scale.shape)
        plain = Linear(matrix.double(), bias.double())
        free = bool(refit.norm or refit.bias)  # a constant can be added
        best, self.errors[refit.weight] = fitted(
            train, judge, plain, scale, free=free, strength=self.strength, steps=self.steps
        )
        if best is None:
            return
        self.slots[refit.weight].copy_(matrix_weight(best.weight, self.slots[refit.weight], refit.name))
        self.refitted.add(refit.weight)
        if refit.bias:
            self.slots[refit.bias].copy_(best.bias.reshape(-1).to(self.slots[refit.bias]))
            self.refitted.add(refit.bias)
        if refit.norm:
            self._write_norm(refit, train.moments, best.weight, best.bias)

    def _write_norm(self, refit: Refit, train: Moments, new: torch.Tensor, offset: torch.Tensor) -> None:
        """Put the constant into the normalization, unless a bias has it, and restate that."""
        gain, bias, _, var = (self.slots[name] for name in refit.norm)
        covariance, _ = train.centred()
        raw_mean = (new * (train.x / train.rows).unsqueeze(2)).sum(1)
        raw_var = (new * (covariance @ new)).sum(1)
        if refit.bias:
            raw_mean = raw_mean + offset
        else:
            factor = gain.double() / (var.double() + refit.epsilon).sqrt()
            bias.add_((factor * offset.reshape(-1)).to(bias))
        restate(self.slots, refit, raw_mean.reshape(-1), raw_var.reshape(-1))
        self.refitted |= set(refit.norm)

    def _replay(self, refit: Refit, end: Stop, memo: dict[int, tuple[Stop, Any]]) -> Any:
        """Run the layer, and the calls up to its target, again with the new weights."""
        if refit.target < 0:
            return end.run()
        layer, value = memo[refit.call]
        new = layer.run()
        for index in refit.chain:
            step, before = memo[index]
            new, value = _with(step, value, new).run(), before
        out = _with(end, value, new).run()
        if end.name.endswith("_") and not end.name.startswith("__"):  # add_: the caller may not look at the result
            end.args[0].copy_(out)
            return end.args[0]
        return out


def _resumed(forward: tuple[Forward, Any]) -> Stop:
    """The next stop, the one before having returned an answer."""
    one, answer = forward
    stop = one.resume(answer)
    if stop is None:
        raise AssertionError("a forward ended before the calls that its wiring lists")
    return stop


def _with(stop: Stop, old: torch.Tensor, new: torch.Tensor) -> Stop:
    args = tuple(new if a is old else a for a in stop.args)
    return Stop(stop.index, stop.name, stop.func, args, {k: new if v is old else v for k, v in stop.kwargs.items()})


def _summand(end: Stop, total: torch.Tensor, branch: torch.Tensor) -> torch.Tensor:
    """What the branch must be for the addition (first + alpha · second) to give the total."""
    first, second = tensors_in((end.args, end.kwargs))
    alpha = end.kwargs.get("alpha", 1)
    return total - alpha * second if branch is first else (total - first) / alpha
