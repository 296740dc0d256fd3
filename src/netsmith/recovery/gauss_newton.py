"""Least squares for all layers of a stretch at once: Gauss-Newton steps with conjugate directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ..evidence import Stop
from ..evidence.gradients import differentiable
from ..evidence.masks import sampled_rows
from ..evidence.patches import input_rows, output_rows, row_count
from ..evidence.side_by_side import at_once, each
from ..evidence.taping import Tape
from .curvature import FittedLayer
from .norms import restate

_ROWS_PER_INPUT = 50  # sampled for the second moments of a layer's inputs
_FEWEST_ROWS = 25  # an input; where few batches have not so many, more are seen
_FELT = 2  # batches that tell how the result answers to each layer
_FIRST_SCALE = 0.03  # of the first step along which results are compared: not yet known how far they are linear
_SECANT = 0.3  # the same, as a share of the last step
_SHARES, _STEPS_EACH, _FEWEST = (0.25, 0.5, 1.0), 4, 2  # of the batches, for the first steps: few tell the way there
_PATIENCE, _GAIN = 2, 0.005  # steps that gain less than this share on the judging batch


class Fit:
    """Layers that are fitted together, the recorded batches they run on, and the results wanted of these."""

    def __init__(
        self,
        layers: Sequence[FittedLayer],
        batches: Sequence[tuple[Tape, torch.Tensor]],
        generator: torch.Generator,
    ):
        self.layers, self.batches, self.generator = layers, batches, generator
        self.calls = frozenset(layer.refit.call for layer in layers)
        self.by_call = {layer.refit.call: layer for layer in layers}
        self._device = layers[0].weight.device

    def run(self, judge: Sequence[tuple[Tape, torch.Tensor]], steps: int, strength: float) -> tuple[float, float]:
        """Fit, keep the best, and return the judged squared error before and after.

        Where forward cannot be differentiated (it overwrites what a gradient needs), or gives values that are not
        finite, nothing changes.
        """
        with differentiable(self._tensors()):
            self._see()
            try:
                self._feel()
            except RuntimeError:
                return (self._error(judge),) * 2
            if not all(layer.settle(strength) for layer in self.layers):
                return (self._error(judge),) * 2
            return self._descend(judge, steps)

    def _descend(self, judge: Sequence[tuple[Tape, torch.Tensor]], steps: int) -> tuple[float, float]:
        before = [layer.parameters for layer in self.layers]
        best = before
        first = least = self._error(judge)
        last, moved, answered, scale, idle, ahead = float("inf"), None, None, _FIRST_SCALE, 0, 0
        used, felt = 0, self._few(_SHARES[0])
        for step in range(steps):
            now = self._few(_SHARES[min(step // _STEPS_EACH + ahead, len(_SHARES) - 1)])
            if now != used:
                last, used = float("inf"), now  # errors on other batches do not compare
            outputs, error, gradients = self._slope(self.batches[:used])
            if not error < last and moved is not None:  # too far: half of the way back, and start afresh
                back = [layer.parameters - m / 2 for layer, m in zip(self.layers, moved, strict=True)]
                moved, answered = [m / 2 for m in moved], None
                self._move(back)
                continue
            last = error
            along = [layer.direction(g) for layer, g in zip(self.layers, gradients, strict=True)]
            towards = self._answer(along, outputs[:felt], scale)
            here = [layer.parameters for layer in self.layers]
            a, b = self._lengths(along, moved, towards, answered, gradients)
            if not a > 0:
                break
            if moved is None or answered is None:
                moved, answered = [a * d for d in along], [a * t for t in towards]
            else:
                moved = [a * d + b * m for d, m in zip(along, moved, strict=True)]
                answered = [a * t + b * w for t, w in zip(towards, answered, strict=True)]
            scale = a * _SECANT
            self._move([p + m for p, m in zip(here, moved, strict=True)])
            judged = self._error(judge)
            gained = judged < (1 - _GAIN) * least
            if judged < least:
                best, least = [layer.parameters for layer in self.layers], judged
            if gained:
                idle = 0
            else:
                idle += 1
                if idle == _PATIENCE:
                    if felt == len(self.batches):
                        break
                    if used == len(self.batches):  # what is left to gain takes lengths that all of them tell
                        felt, moved, answered = used, None, None
                    idle, ahead = 0, ahead + 1
        self._move(best)
        return first, least

    def _few(self, share: float) -> int:
        """How many batches are this share of them."""
        return max(round(len(self.batches) * share), min(len(self.batches), _FEWEST))

    def _move(self, parameters: Sequence[torch.Tensor]) -> None:
        for layer, where in zip(self.layers, parameters, strict=True):
            layer.move_to(where)

    def _slope(
        self, batches: Sequence[tuple[Tape, torch.Tensor]]
    ) -> tuple[list[torch.Tensor], float, list[torch.Tensor]]:
        """Results on some batches, penalized error (half the sum of squares) of all, as far as these tell, and its
        gradients by each layer's parameters.
        """
        tensors = self._tensors()

        def slope(batch: tuple[Tape, torch.Tensor]) -> tuple[torch.Tensor, float, Sequence[torch.Tensor | None]]:
            run, target = batch
            with torch.enable_grad():
                out = run.run()
                loss = (out - target).float().square().sum() / 2
                return out.detach(), float(loss.detach()), torch.autograd.grad(loss, tensors, allow_unused=True)

        outputs, errors, parts = zip(*each(slope, batches, self._device), strict=True)
        weight = self._weight(outputs)
        error = weight * sum(errors)
        sums = [torch.zeros_like(t) for t in tensors]
        for total, of_batches in zip(sums, zip(*parts, strict=True), strict=True):
            for part in of_batches:
                if part is not None:
                    total += part
            total *= weight
        found = iter(sums)
        gradients = [
            layer.gradient(next(found), next(found) if layer.offset is not None else None) for layer in self.layers
        ]
        return list(outputs), error + sum(layer.penalty() for layer in self.layers) / 2, gradients

    @torch.no_grad()
    def _answer(
        self, along: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor], scale: float
    ) -> list[torch.Tensor]:
        """How the results change along a direction, on the batches of ``outputs``: a short secant."""
        here = [layer.parameters for layer in self.layers]
        self._move([p + scale * d for p, d in zip(here, along, strict=True)])
        pairs = [(run, out) for (run, _), out in zip(self.batches, outputs, strict=False)]
        there = each(lambda pair: (pair[0].run() - pair[1]).float() / scale, pairs, self._device)
        self._move(here)
        return there

    def _weight(self, results: Sequence[torch.Tensor]) -> float:
        """What sums over some batches' results count for those over all."""
        return sum(target.numel() for _, target in self.batches) / max(sum(r.numel() for r in results), 1)

    def _lengths(
        self,
        along: Sequence[torch.Tensor],
        moved: Sequence[torch.Tensor] | None,
        towards: Sequence[torch.Tensor],
        answered: Sequence[torch.Tensor] | None,
        gradients: Sequence[torch.Tensor],
    ) -> tuple[float, float]:
        """The best step along the new direction and the last step together, if results were linear."""
        penalty = [layer.penalty(d, d) for layer, d in zip(self.layers, along, strict=True)]
        weight = self._weight(towards)
        aa = weight * _dot(towards, towards) + sum(penalty)
        ga = -_dot(gradients, along)
        if moved is None or answered is None:
            return ga / aa if aa > 0 else 0.0, 0.0
        ab = weight * _dot(towards, answered) + sum(
            x.penalty(d, m) for x, d, m in zip(self.layers, along, moved, strict=True)
        )
        bb = weight * _dot(answered, answered) + sum(x.penalty(m, m) for x, m in zip(self.layers, moved, strict=True))
        gb = -_dot(gradients, moved)
        determinant = aa * bb - ab * ab
        if determinant <= 1e-9 * aa * bb:
            return ga / aa if aa > 0 else 0.0, 0.0
        return (ga * bb - gb * ab) / determinant, (gb * aa - ga * ab) / determinant

    @torch.no_grad()
    def _error(self, batches: Sequence[tuple[Tape, torch.Tensor]]) -> float:
        """Mean squared error."""
        squares = sum(each(lambda b: float((b[0].run() - b[1]).float().square().sum()), batches, self._device))
        return squares / max(sum(target.numel() for _, target in batches), 1)

    @torch.no_grad()
    def _see(self) -> None:
        """Second moments of every layer's inputs, on no more batches than it takes: they only scale the steps."""
        count, few, some = len(self.batches), self._few(_SHARES[0]), at_once(self._device)
        seeds = torch.randint(2**31, (count,), generator=self.generator).tolist()

        def seen(batch: tuple[Tape, int]) -> list[tuple[FittedLayer, torch.Tensor, int]]:
            run, seed = batch
            generator, found = torch.Generator().manual_seed(seed), []

            def look(stop: Stop, out: torch.Tensor) -> torch.Tensor:
                layer = self.by_call[stop.index]
                wanted = max(_ROWS_PER_INPUT * layer.inputs // few, 1)
                chosen = sampled_rows(out, stop.name, wanted, generator, run.counted)
                found.append((layer, input_rows(stop, chosen), row_count(out, stop.name)))
                return out

            run.run(look, self.calls)
            return found

        used = 0
        while used < count and any(layer.seen < _FEWEST_ROWS * layer.inputs for layer in self.layers):
            until = min(used + few, count)
            todo = [(run, seed) for (run, _), seed in zip(self.batches[used:until], seeds[used:until], strict=True)]
            for start in range(0, len(todo), some):  # the rows of wide layers take room
                for found in each(seen, todo[start : start + some], self._device):
                    for layer, rows, of_rows in found:
                        layer.see(rows, of_rows)
            used = until
        weight = self._weight([target for _, target in self.batches[:used]])
        for layer in self.layers:
            layer.rows *= weight

    def _feel(self) -> None:
        """How strongly the result answers to every output of every layer."""
        for run, target in self.batches[:_FELT]:
            reached: list[tuple[Stop, torch.Tensor]] = []

            def look(stop: Stop, out: torch.Tensor) -> torch.Tensor:
                reached.append((stop, out))  # noqa: B023
                return out.clone()  # what follows may overwrite it

            with torch.enable_grad():
                out = run.run(look, self.calls)
                signs = torch.randint(0, 2, target.shape, generator=self.generator).to(out) * 2 - 1
                slopes = torch.autograd.grad((out * signs).sum(), [t for _, t in reached], allow_unused=True)
            for (stop, tensor), slope in zip(reached, slopes, strict=True):
                layer = self.by_call[stop.index]
                rows = torch.arange(row_count(tensor, stop.name), device=tensor.device)
                slope = torch.zeros_like(tensor) if slope is None else slope
                layer.feel(output_rows(slope, stop.name, rows, layer.groups))

    @torch.no_grad()
    def restate(self, slots: Mapping[str, torch.Tensor]) -> set[str]:
        """Restate normalizations behind the layers; return the names of all tensors that may have changed."""
        normed = {layer.refit.call: layer for layer in self.layers if layer.refit.norm}

        def summed(run: Tape) -> dict[int, list[torch.Tensor]]:
            found: dict[int, list[torch.Tensor]] = {}

            def look(stop: Stop, out: torch.Tensor) -> torch.Tensor:
                values = out.movedim(1 if stop.name != "linear" else -1, 0).flatten(1)
                count = torch.full((), values.shape[1], dtype=torch.float64)
                sums = [values.sum(1, dtype=torch.float64), values.square().sum(1, dtype=torch.float64)]
                found[stop.index] = [*sums, count]
                return out

            run.run(look, frozenset(normed))
            return found

        sums: dict[int, list[torch.Tensor]] = {}
        for found in each(summed, [run for run, _ in self.batches] if normed else [], self._device):
            for call, one in found.items():
                sums[call] = [a + b for a, b in zip(sums[call], one, strict=True)] if call in sums else one
        for call, (total, squares, count) in sums.items():
            mean = total / count
            restate(slots, normed[call].refit, mean, squares / count - mean.square())
        return {
            name
            for layer in self.layers
            for name in (layer.refit.weight, *([layer.refit.bias] if layer.refit.bias else []), *layer.refit.norm)
        }

    def _tensors(self) -> list[torch.Tensor]:
        return [t for layer in self.layers for t in layer.tensors()]


def _dot(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> float:
    return sum(float((a * b).sum()) for a, b in zip(one, other, strict=True))
