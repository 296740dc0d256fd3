"""Measures, axis by axis, how the error grows with narrower widths."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal

import torch

from ..data.freed_memory import freed_memory_kept
from ..data.running import eval_mode
from ..evidence import (
    Checkpoint,
    Forward,
    Moments,
    Stop,
    advance,
    as_data,
    calibration_batches,
    device_of,
    divergence_of_examples,
    first_output,
    resume,
)
from ..evidence.apart import apart
from ..evidence.formats import channels_last
from ..evidence.masks import Mask, mask_of, sampled_rows
from ..evidence.patches import input_rows
from ..evidence.side_by_side import at_once, each
from ..plans import Plan
from ..plans.protection import protected_axes
from ..plans.removal import check_options
from ..plans.sizing import changeable_axes, solve
from ..plans.widths import plan_for, ranked_units, rounded, scored
from ..recovery.refits import Refit, find_refits
from ..scores import Score, magnitude
from ..scores.elimination import elimination_order
from ..surgery import apply
from ..wiring import Wiring
from ..wiring.capture import transparent_functional
from ..wiring.layouts import axis_names
from ..wiring.trace import as_run
from .alone import Refitted, contracted_dim, reader, refitted_alone, write_alone
from .curves import Curve, Curves
from .interpolating import interpolated
from .together import axes_together

Progress = Callable[[int, int, str], None]

_SHARES = (0.9, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0)  # of the full width; 0: the narrowest that may be
_RUN, _RUN_TOO = 0.25, 0.5  # those that forwards are run for, the second where the first costs much; the rest follows
_MUCH = 0.1  # of divergence: from here on it need not grow in step with what the refits leave
_PROBED = 8  # examples that tell whether forwards may start in the middle
_MOST_WORK = 1e11  # multiply-accumulates that ordering one axis may take


@freed_memory_kept()
def measure_curves(
    wiring: Wiring,
    data: Iterable[Any],
    *,
    score: Score | None = None,
    round_to: int | None = None,
    ignore: Iterable[str] = (),
    cut: Literal["inside", "whole"] = "inside",
    most_examples: int = 512,
    most_judged: int = 256,
    most_rows: int = 20_000,
    strength: float = 3e-3,
    mask: Mask | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Curves:
    """For each axis that may change, the divergence from the original with only this axis narrower, after repair.

    One pass over the data gathers the second moments that repair needs; what a width costs is then a closed-form
    refit of the layers that read the axis, and a forward of a few batches from the changed layer on;
    most widths need none, as what the refit leaves tells how the error runs between those that do.

    Args:
        wiring: of the model.
        data: unlabelled calibration batches, each ``x`` or ``(x, y)``; labels are not looked at.
        score: ``(axis, weights) -> (axis.size,)``, higher = keep. None: what repair makes up for least stays
            (``elimination_order``), and by magnitude where no layer that reads the axis can be refitted.
        round_to, ignore, cut: as in ``plan_removal``.
        most_examples: examples used at most.
        most_judged: of these, examples on whose outputs the divergence is measured.
        most_rows: rows (positions) sampled for the moments of each layer, over all batches.
        strength: ridge penalty, as a share of the mean input variance.
        mask: inputs -> (examples, positions), false or 0 where padding is, which then does not count; e.g.
            ``lambda x: x["attention_mask"]``.
        seed: of the sampled positions.
        progress: called with (axes done, axes in all, name of the axis).

    Returns:
        The curves. They serve any number of budgets: see ``allocate``.

    Raises:
        InputError: values out of range.
        UnknownNameError: an ignore pattern that matches nothing.
        EvidenceError: empty data, values that are not finite, a forward whose path depends on values, or scores that
            are not one finite number per unit.

    Source: sensitivity curves as in Li et al., ICLR 2017, arXiv:1608.08710, here after repair and of the outputs.
    """
    by_score = magnitude if score is None else score
    check_options(wiring, by_score, round_to, cut)
    names = changeable_axes(wiring, protected_axes(wiring, ignore), cut)
    ranks = {name: ranked_units(wiring.axis[name], scored(wiring, wiring.axis[name], by_score)) for name in names}
    groups, left = axes_together(wiring, names, round_to)
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(wiring.model))
    batches = channels_last(wiring.model, batches)
    with eval_mode(wiring.model), torch.no_grad():
        judged = calibration_batches(as_data(batches), most_examples=most_judged)
        measuring = _Measuring(
            as_run(wiring, batches[0]),
            groups,
            ranks,
            score is None,
            round_to,
            batches,
            judged,
            most_rows,
            strength,
            mask,
            seed,
        )
        measured = measuring.run(progress)
    return Curves(wiring, tuple(measured), measuring.ranks, round_to, left)


def _menu(
    wiring: Wiring, group: Sequence[str], ranks: dict[str, tuple[int, ...]], round_to: int | None
) -> dict[int, Plan]:
    """Width of the first axis -> the plan that gives the whole group this share of its units."""
    menu: dict[int, Plan] = {}
    for share in _SHARES:
        sizing = solve(wiring, sizes_at(wiring, group, share, round_to))
        width = sizing.sizes[group[0]]
        if width < wiring.sizes[group[0]] and width not in menu:
            chosen = {n: ranks[n][: sizing.sizes[n]] for n in group if sizing.sizes[n] != wiring.sizes[n]}
            menu[width] = plan_for(wiring, sizing, chosen)
    return menu


def sizes_at(wiring: Wiring, group: Sequence[str], share: float, round_to: int | None) -> dict[str, int]:
    """Widths that the axes may have, near a share of their units."""
    return {n: rounded(wiring.axis[n], math.floor(wiring.sizes[n] * share + 0.5), round_to) for n in group}


class _Measuring:
    """The original's forwards of all batches, going in step, and what is measured as soon as its moments are known."""

    def __init__(
        self,
        wiring: Wiring,
        groups: Sequence[tuple[str, ...]],
        ranks: dict[str, tuple[int, ...]],
        eliminate: bool,
        round_to: int | None,
        batches: Sequence[Any],
        judged: Sequence[Any],
        most_rows: int,
        strength: float,
        mask: Mask | None,
        seed: int,
    ):
        self.wiring, self.groups, self.strength = wiring, groups, strength
        self.ranks, self.eliminate, self.round_to = ranks, eliminate, round_to
        self.batches, self.judged = batches, judged
        self.rows = max(most_rows // len(batches), 1)
        self.generator = torch.Generator().manual_seed(seed)
        self.refits = [_readers(wiring, _menu(wiring, group, ranks, round_to)) for group in groups]
        self.moments: dict[int, Moments] = {}
        self.starts = [Checkpoint(0, inputs) for inputs in judged]
        self.trusted = True  # that forwards may start in the middle
        self.device = device_of(wiring.model)
        self.references = each(lambda s: first_output(resume(wiring, wiring.model, s)), self.starts, self.device)
        self.probe = Checkpoint(0, calibration_batches(as_data(judged), most_examples=_PROBED)[0])
        self.probed = first_output(resume(wiring, wiring.model, self.probe))
        self.counted = [mask_of(mask, inputs) for inputs in batches]
        self.judged_part = [mask_of(mask, inputs) for inputs in judged]

    def run(self, progress: Progress | None) -> list[Curve]:
        calls = sorted({r.call for refits in self.refits for r in refits})
        stops = {i: self.wiring.calls[i].name for i in calls}
        forwards = [Forward(apart(self.wiring, self.wiring.model), inputs, stops) for inputs in self.batches]
        # An axis is measured when the last layer that reads it has been seen.
        due = [max((r.call for r in refits), default=-1) for refits in self.refits]
        curves: dict[int, Curve] = {}

        ready: list[int] = []

        def measure_due(after: int, fewest: int) -> None:
            """Measure side by side, once there are so many."""
            ready.extend(i for i, call in enumerate(due) if call == after)
            if len(ready) < fewest:
                return
            ready.sort(key=self._first_call)
            for start in range(0, len(ready), at_once(self.device)):
                some = ready[start : start + at_once(self.device)]
                for i, curve in zip(some, self._curves(some), strict=True):
                    curves[i] = curve
                    if progress:
                        progress(len(curves), len(self.groups), self.groups[i][0])
            ready.clear()
            waiting = {r.call for i, refits in enumerate(self.refits) if i not in curves for r in refits}
            for call in [c for c in self.moments if c not in waiting]:
                del self.moments[call]

        try:
            measure_due(-1, 1)
            answers: list[Any] = [None] * len(forwards)
            for call in calls:
                with transparent_functional():
                    reached = each(_reached, zip(forwards, answers, strict=True), self.device)
                    answers = [self._gather(*one) for one in zip(reached, self.counted, strict=True)]
                measure_due(call, 1 if call == calls[-1] else at_once(self.device))
        finally:
            for forward in forwards:
                forward.abandon()
        return [curves[i] for i in range(len(self.groups))]

    def _gather(self, reached: tuple[Stop, Any], counted: torch.Tensor | None) -> Any:
        stop, out = reached
        x = input_rows(stop, sampled_rows(out, stop.name, self.rows, self.generator, counted))
        moments = self.moments.setdefault(stop.index, Moments(x.shape[1], x.shape[2], 0, x.device))
        moments.add(x, x.new_zeros(x.shape[0], x.shape[1], 0))
        return out

    def _first_call(self, i: int) -> int:
        """The first call that is another one when the group's axes change."""
        group = set(self.groups[i])
        for index, call in enumerate(self.wiring.calls):
            if any(n in group for dims in (*call.inputs, *call.outputs) for layout in dims for n in axis_names(layout)):
                return index
        return 0

    def _curves(self, some: Sequence[int]) -> list[Curve]:
        if self.trusted:
            self._go_to(min(map(self._first_call, some)))
        return each(self._curve, some, self.device)

    def _curve(self, i: int) -> Curve:
        group, starts = self.groups[i], self._starts_at(self._first_call(i))
        full, tensors = self.wiring.sizes[group[0]], self.wiring.tensors
        refits = {r.weight: (r, self.moments[r.call]) for r in self.refits[i]}
        if self.eliminate:
            self.ranks |= {name: order for name in group if (order := self._order(name, refits))}
        menu = _menu(self.wiring, group, self.ranks, self.round_to)
        refitted = {width: refitted_alone(plan, refits, tensors, self.strength) for width, plan in menu.items()}
        errors, local = {full: 0.0}, {full: 0.0}
        local |= {width: sum(layer.error for layer in layers) for width, layers in refitted.items()}
        measured = partial(self._errors, menu, refitted, starts)
        first, second = (
            solve(self.wiring, sizes_at(self.wiring, group, share, self.round_to)).sizes[group[0]]
            for share in (_RUN, _RUN_TOO)
        )
        if not refits or first not in menu:  # without layers to refit nothing tells what lies between
            errors |= measured(list(menu))
        else:
            errors |= measured([first])
            if second in menu and second != first and not errors[first] < _MUCH:
                errors |= measured([second])
        # What overflows is no width to consider, and none narrower than that is.
        widest = max((width for width, error in errors.items() if not math.isfinite(error)), default=0)
        return Curve(group, interpolated(*({w: e for w, e in d.items() if w > widest} for d in (errors, local))))

    def _errors(
        self,
        menu: dict[int, Plan],
        refitted: dict[int, list[Refitted]],
        starts: Sequence[Checkpoint],
        widths: Sequence[int],
    ) -> dict[int, float]:
        """Width -> divergence from the original, by forwards."""
        errors: dict[int, float] = {}
        copies = at_once(self.device)  # of the model: as many as threads
        for start in range(0, len(widths), copies):
            some = widths[start : start + copies]
            models = [apply(self.wiring.model, menu[width]).eval() for width in some]
            for width, model in zip(some, models, strict=True):
                write_alone(model, menu[width], refitted[width], self.wiring.tensors)
            errors |= zip(some, each(partial(self._divergence, starts), models, self.device), strict=True)
        return errors

    def _order(self, name: str, refits: dict[str, tuple[Refit, Moments]]) -> tuple[int, ...]:
        """By elimination; () where no layer tells, or it would take too long."""
        axis, work = self.wiring.axis[name], 0
        readers = []
        for member in axis.members:
            refit, moments = refits.get(member.tensor, (None, None))
            if refit is None or moments is None or member.dim != contracted_dim(refit):
                continue
            if len({len(p) for p in member.positions}) > 1:
                continue  # a unit that takes up more room than another
            readers.append(reader(self.wiring, refit, moments, member, self.strength))
            groups, inputs = moments.x.shape
            work += groups * inputs**3
        return elimination_order(readers, axis.size, axis.pinned) if readers and work < _MOST_WORK else ()

    def _go_to(self, call: int) -> None:
        """So far all that is still to be measured shares its forward."""
        if self.starts[0].call > call:
            self.starts = [Checkpoint(0, inputs) for inputs in self.judged]
        self.starts = each(lambda start: advance(self.wiring, start, call), self.starts, self.device)

    def _starts_at(self, call: int) -> list[Checkpoint]:
        if self.trusted:
            again = first_output(resume(self.wiring, self.wiring.model, advance(self.wiring, self.probe, call)))
            if torch.allclose(again, self.probed, rtol=1e-3, atol=1e-5):
                return each(lambda start: advance(self.wiring, start, call), self.starts, self.device)
            self.trusted = False  # something is carried past the record of calls: run whole forwards from now on
        return [Checkpoint(0, inputs) for inputs in self.judged]

    def _divergence(self, starts: Sequence[Checkpoint], model: torch.nn.Module) -> float:
        outputs = (first_output(resume(self.wiring, model, start)) for start in starts)
        return divergence_of_examples(outputs, self.references, self.judged, self.judged_part)


def _reached(forward: tuple[Forward, Any]) -> tuple[Stop, Any]:
    """The next stop, the one before having given an answer, and what its call returns."""
    one, answer = forward
    stop = one.resume(answer)
    assert stop is not None  # a forward that ends early raises
    return stop, stop.run()


def _readers(wiring: Wiring, menu: dict[int, Plan]) -> list[Refit]:
    """Layers that contract one of the axes that the menu's plans change, and can be refitted."""
    if not menu:
        return []
    plan = next(iter(menu.values()))
    kept = {name: plan.kept(name) for name in plan.layouts}
    return [r for r in find_refits(wiring, plan) if contracted_dim(r) in kept.get(r.weight, {})]
