"""Cutting one part after the other: each round measures all that is left, takes out the best, and proves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from torch import nn

from ..errors import EvidenceError, InputError, PlanError
from ..evidence import examples_in, first_output, mean_divergence
from ..evidence.bypassing import Instead, bypassed
from ..evidence.first_order import first_order
from ..evidence.gradients import Loss
from ..evidence.influence import block_influence, divergences
from ..plans import BlockEdit, Plan, RemoveBlock, RemoveBranch, plan_blocks
from ..recovery.bridging import Bridge, bridges, projections
from ..surgery import apply
from ..wiring import Transition, Wiring, call_model, trace
from ..wiring.layouts import layout_size
from .candidates import saving

Influence = Literal["divergence", "cosine", "taylor"]
Evaluate = Callable[[nn.Module], float]
Progress = Callable[[int, int, str], None]

_AGREE = 1e-2  # relative difference between a part bypassed and a part gone beyond which its place matters
_WORTH = 0.9  # of the divergence without it, what a map must come down to
_LEAST = 1e-9  # influence below which only what is saved tells parts apart


@dataclass(frozen=True)
class Choice:
    """How parts are chosen.

    Attributes:
        influence, evaluate, loss, seed: as in ``plan_cut``.
        maps: as in ``plan_cut``.
        per: what influence is divided by: what a part saves of "macs" or "params"; None: by nothing.
    """

    influence: Influence
    evaluate: Evaluate | None
    loss: Loss | None
    seed: int
    maps: bool
    per: str | None


class Rounds:
    """The state of a cut. ``able``: what may still be taken out; ``left``: what cannot, and why."""

    def __init__(
        self,
        wiring: Wiring,
        batches: Sequence[tuple[Any, Any]],
        able: Mapping[str, RemoveBlock | RemoveBranch | Transition],
        left: Mapping[str, str],
        choice: Choice,
        told: Callable[[Mapping[str, float]], None] | None = None,
    ):
        self.wiring, self.labelled, self.choice, self.told = wiring, batches, choice, told
        self.batches = [inputs for inputs, _ in batches]
        self.able, self.left = dict(able), dict(left)
        with torch.no_grad():
            self.references = [first_output(call_model(wiring.model, inputs)) for inputs in self.batches]
        if not all(bool(reference.isfinite().all()) for reference in self.references):
            raise EvidenceError("the model's outputs on the data are not finite; are its weights?")
        self.edits: list[BlockEdit] = []
        self.maps: dict[str, Bridge] = {}  # part -> the fitted map in its place
        self.now = wiring
        self.best = _score(choice.evaluate, wiring.model) if choice.evaluate else 0.0
        self.level = 0.0  # influence of all that is gone

    def plan(self) -> Plan:
        return plan_blocks(self.wiring, self.edits)

    def step(self, threshold: float | None, progress: Progress | None) -> bool:
        """Take out one more part; False where none is left, or each would matter too much."""
        here = {self._renamed(name): name for name in self.able}
        instead: dict[str, Instead] = {}
        fitted: dict[str, Bridge] = {}
        for current, name in here.items():
            part = self.able[name]
            if isinstance(part, Transition):
                bridge = self._projection(part, current)
                if bridge is not None:
                    fitted[name] = bridge
                    instead[current] = bridge.function
            else:
                instead[current] = "zeros" if isinstance(part, RemoveBranch) else None
        scores = self._scores(instead, progress)
        if self.told is not None:
            self.told({here[current]: score for current, score in scores.items()})
        worth = {c: self._worth(c, scores[c], fitted.get(here[c])) for c in scores}
        for current in sorted(scores, key=lambda c: worth[c]):
            if threshold is not None and scores[current] >= threshold:
                continue
            name = here[current]
            if self._cut(name, current, instead[current], scores[current], fitted.get(name)):
                return True
        return False

    def _renamed(self, name: str) -> str:
        found = Plan(tuple(self.edits), {}, {}, {}, "").renamed(name)
        assert found is not None  # what lies in a part that is gone has left ``able``
        return found

    def _scores(self, instead: Mapping[str, Instead], progress: Progress | None) -> dict[str, float]:
        if self.choice.evaluate is not None:
            return self._evaluated(self.choice.evaluate, instead, progress)
        if self.choice.influence == "cosine":
            return block_influence(self.now.model, list(instead), self.batches)
        if self.choice.influence == "taylor":
            parts = [self.now.parts[name] for name in instead]
            return first_order(self.now, parts, self.labelled, self.choice.loss, seed=self.choice.seed)
        return divergences(self.now, self.batches, self.references, {n: {n: i} for n, i in instead.items()}, progress)

    def _evaluated(
        self, evaluate: Evaluate, instead: Mapping[str, Instead], progress: Progress | None
    ) -> dict[str, float]:
        scores: dict[str, float] = {}
        for name, function in instead.items():
            with bypassed(self.now.model, {name: function}):
                scores[name] = self.best - _score(evaluate, self.now.model)
            if progress:
                progress(len(scores), len(instead), name)
        return scores

    def _worth(self, current: str, score: float, bridge: Bridge | None) -> float:
        """Lower = cut first: what is added to the influence, for each unit of cost that is saved."""
        if self.choice.per is None:
            return score
        saved = saving(self.now, current, self.choice.per)
        if bridge is not None:
            saved = max(1.0, saved - _map_cost(self.now, current, bridge, self.choice.per))
        return max(score - self.level, _LEAST) / saved

    def _cut(self, name: str, current: str, instead: Instead, score: float, fitted: Bridge | None) -> bool:
        part = self.able.pop(name)
        if isinstance(part, Transition):
            assert fitted is not None
            edit: BlockEdit = fitted.edit
        else:
            edit = part
        kept = [e for e in self.edits if not any(path.startswith(f"{name}.") for path in e.modules)]
        try:
            plan = plan_blocks(self.wiring, [*kept, edit])
        except PlanError as error:
            self.left[name] = str(error)
            return False
        maps = self.maps | ({name: fitted} if fitted is not None else {})
        if self.choice.influence != "divergence" or self.choice.evaluate is not None:
            score = divergences(self.now, self.batches, self.references, {current: {current: instead}})[current]
        model = self._made(plan, maps)
        gone = self._divergence(model)
        if abs(gone - score) > _AGREE * max(gone, score) + 1e-6:
            self.left[name] = "something depends on a layer's place: without it the outputs are not those of a bypass"
            return False
        if isinstance(edit, RemoveBlock) and self.choice.maps:
            bridge = self._bridge(kept, name, current)
            if bridge is not None:
                edit, maps = bridge.edit, maps | {name: bridge}
                model = self._made(plan_blocks(self.wiring, [*kept, edit]), maps)
                gone = self._divergence(model)
        self.edits, self.maps = [*kept, edit], maps
        self.able = {n: p for n, p in self.able.items() if not n.startswith(f"{name}.")}
        self.now = trace(model, self.wiring.example_inputs)
        if self.choice.evaluate is not None:
            self.level = self.best - _score(self.choice.evaluate, model)
        elif self.choice.influence == "divergence":
            self.level = gone
        return True

    def _made(self, plan: Plan, maps: Mapping[str, Bridge]) -> nn.Module:
        """The cut model, with the fitted maps."""
        model = apply(self.wiring.model, plan).eval()
        for edit in plan.block_edits:
            if edit.block in maps:
                maps[edit.block].put(model.get_submodule(plan.place(edit.block) or ""))
        return model

    def _divergence(self, model: nn.Module) -> float:
        each = zip(self.batches, self.references, strict=True)
        errors = [(examples_in(x), mean_divergence(model, [x], [wanted])) for x, wanted in each]
        return sum(n * error for n, error in errors) / sum(n for n, _ in errors)

    def _projection(self, part: Transition, current: str) -> Bridge | None:
        """The map with which a shape-changing block's absence disturbs held-out outputs least."""
        best, least = None, float("inf")
        for bridge in projections(self.now.model, current, part, self.batches[:-1] or self.batches):
            found = self._held_out(current, bridge.function)
            if found < least:
                best, least = bridge, found
        return best

    def _bridge(self, kept: Sequence[BlockEdit], name: str, current: str) -> Bridge | None:
        """The map that brings held-out outputs nearest, if it is worth its cost."""
        best, least = None, self._held_out(current, None) * _WORTH
        for bridge in bridges(self.now.model, current, name, self.batches[:-1] or self.batches):
            found = self._held_out(current, bridge.function)
            if found < least:
                try:
                    plan_blocks(self.wiring, [*kept, bridge.edit])
                except PlanError:  # forward gives the block more than a map takes
                    return None
                best, least = bridge, found
        return best

    def _held_out(self, current: str, instead: Instead) -> float:
        """Divergence on the last batch, with something else in a part's place."""
        judge = slice(-1, None) if len(self.batches) > 1 else slice(None)
        held, wanted = self.batches[judge], self.references[judge]
        return divergences(self.now, held, wanted, {current: {current: instead}})[current]


def _score(evaluate: Evaluate, model: nn.Module) -> float:
    with torch.no_grad():
        value = evaluate(model)
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"evaluate returned {value!r:.80}; it must return one number, higher = better") from error


def _map_cost(wiring: Wiring, current: str, bridge: Bridge, per: str) -> float:
    result = wiring.parts[current].result
    examples, _, *size = (layout_size(dim, wiring.sizes) for dim in wiring.calls[result.call].outputs[result.output])
    return bridge.weight.numel() * (1 if per == "params" else examples * prod(size))
