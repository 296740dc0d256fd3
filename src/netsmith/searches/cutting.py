"""Which blocks to cut: the least influential first, measured anew after each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch

from ..costs import measure
from ..data.running import eval_mode
from ..errors import BudgetError, EvidenceError, InputError, PlanError
from ..evidence import calibration_batches, device_of, examples_in, first_output, mean_divergence
from ..evidence.influence import block_influence, divergences
from ..plans import BlockEdit, Budget, Plan, RemoveBlock, plan_blocks
from ..plans.depth import removals
from ..recovery.bridging import Bridge, bridges
from ..surgery import apply
from ..wiring import Wiring, call_model, trace

Influence = Literal["divergence", "cosine"]
Progress = Callable[[int, int, str], None]

_AGREE = 1e-2  # relative difference between a block bypassed and a block gone beyond which its place matters
_WORTH = 0.9  # of the divergence without it, what a map must come down to


def plan_cut(
    wiring: Wiring,
    *,
    blocks: int | None = None,
    budget: Budget | None = None,
    threshold: float | None = None,
    data: Iterable[Any],
    influence: Influence = "divergence",
    maps: bool = True,
    most_examples: int = 256,
    progress: Progress | None = None,
) -> Plan:
    """Plan to cut the blocks whose influence is least, one after the other, each measured with those before it gone.

    Candidates are blocks with a shortcut that a twin of the model runs without as promised, call by call; of blocks
    inside blocks the outer one, unless it holds several items that could go one by one.

    Args:
        wiring: of the model, from ``trace``.
        blocks: how many to cut; or
        budget: cut until this is kept; or
        threshold: cut while the influence of all that is gone stays below this.
        data: unlabelled calibration batches, each ``x`` or ``(x, y)``; where there are several, the last judges maps.
        influence: "divergence": of the model's outputs from the original's when the blocks are bypassed; "cosine":
            1 - cosine of a block's input and output (ShortGPT).
        maps: put an affine map in a cut block's place where the forward allows it and that brings the outputs on
            held-out data clearly nearer; ``recovery.rejoin`` gives it its values.
        most_examples: used at most.
        progress: called with (influences measured, influences in all, name of the block) in each round.

    Returns:
        A proven plan. ``left`` says which blocks could not be cut, and why.

    Raises:
        InputError: not exactly one of blocks, budget and threshold, or values out of range.
        BudgetError: the budget is not kept even with every block cut that can be.
        EvidenceError: empty data, values that are not finite, or a forward whose path depends on values.

    Sources: Men et al. 2024, arXiv:2403.03853 (ShortGPT); re-scoring after each removal as in Zhong et al. 2024,
        arXiv:2406.10594 (BlockPruner).
    """
    _check(wiring, blocks, budget, threshold, influence)
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(wiring.model))
    with eval_mode(wiring.model):
        cutting = _Cutting(wiring, batches, influence, maps)
        original = measure(wiring.model, wiring.example_inputs, latency=budget is not None and bool(budget.latency_ms))
        limits = budget.limits(original) if budget is not None else {}
        while not _enough(cutting, blocks, budget, limits):
            if not cutting.step(threshold, progress):
                break
        if budget is not None and not _enough(cutting, None, budget, limits):
            raise BudgetError(
                f"the budget cannot be met by cutting: all {len(cutting.edits)} blocks that can go are gone. Give a "
                "budget above that floor, or remove units as well (plan_removal)"
            )
        if blocks is not None and len(cutting.edits) < blocks:
            why = "; ".join(f"{name}: {reason}" for name, reason in list(cutting.left.items())[:3])
            raise InputError(
                f"blocks={blocks}, but only {len(cutting.edits)} blocks can be cut{f' ({why})' if why else ''}"
            )
    return replace(cutting.plan(), left=cutting.left)


def candidates(wiring: Wiring) -> tuple[dict[str, RemoveBlock], dict[str, str]]:
    """The blocks that can be cut, with the edit that does it; and block -> why not, for those that cannot."""
    plans, left = removals(wiring)
    edits = {name: plan.edits[0] for name, plan in plans.items()}
    found = {name: edit for name, edit in edits.items() if isinstance(edit, RemoveBlock)}
    items = [name for name, edit in found.items() if edit.delete]
    whole = [name for name in found if sum(item.startswith(f"{name}.") for item in items) < 2]
    outer = [name for name in whole if not any(name.startswith(f"{other}.") for other in whole)]
    inside = tuple(f"{name}." for name in outer)
    return {name: found[name] for name in outer}, {n: why for n, why in left.items() if not n.startswith(inside)}


class _Cutting:
    def __init__(self, wiring: Wiring, batches: Sequence[Any], kind: Influence, maps: bool):
        self.wiring, self.batches, self.kind, self.maps = wiring, batches, kind, maps
        with torch.no_grad():
            self.references = [first_output(call_model(wiring.model, inputs)) for inputs in batches]
        if not all(bool(reference.isfinite().all()) for reference in self.references):
            raise EvidenceError("the model's outputs on the data are not finite; are its weights?")
        self.names, self.left = candidates(wiring)
        self.edits: list[BlockEdit] = []
        self.bridges: dict[str, Bridge] = {}  # block -> the fitted map in its place
        self.now = wiring

    def plan(self) -> Plan:
        return plan_blocks(self.wiring, self.edits)

    def step(self, threshold: float | None, progress: Progress | None) -> bool:
        """Cut one more block; False where none is left, or each would matter too much."""
        here = {self._renamed(name): name for name in self.names}
        scores = self._scores(list(here), progress)
        for current in sorted(scores, key=lambda n: scores[n]):
            name = here[current]
            if threshold is not None and scores[current] >= threshold:
                return False
            edit = self.names.pop(name)
            if self._cut(name, edit, current, scores[current] if self.kind == "divergence" else None):
                return True
        return False

    def _renamed(self, name: str) -> str:
        if not self.edits:
            return name
        found = Plan(tuple(self.edits), {}, {}, {}, "").renamed(name)
        assert found is not None
        return found

    def _scores(self, names: Sequence[str], progress: Progress | None) -> dict[str, float]:
        if self.kind == "cosine":
            return block_influence(self.now.model, names, self.batches)
        return divergences(self.now, self.batches, self.references, {n: {n: None} for n in names}, progress)

    def _cut(self, name: str, edit: RemoveBlock, current: str, bypassed: float | None) -> bool:
        try:
            plan = plan_blocks(self.wiring, [*self.edits, edit])
        except PlanError as error:
            self.left[name] = str(error)
            return False
        if bypassed is None:
            bypassed = divergences(self.now, self.batches, self.references, {current: {current: None}})[current]
        model = self._made(plan)
        gone = self._divergence(model)
        if abs(gone - bypassed) > _AGREE * max(gone, bypassed) + 1e-6:
            self.left[name] = "something depends on a layer's place: without it the outputs are not those of a bypass"
            return False
        chosen: BlockEdit = edit
        bridge = self._bridge(name, current) if self.maps else None
        if bridge is not None:
            chosen = bridge.edit
            self.bridges[name] = bridge
            plan = plan_blocks(self.wiring, [*self.edits, chosen])
            model = self._made(plan)
        self.edits.append(chosen)
        self.now = trace(model, self.wiring.example_inputs)
        return True

    def _made(self, plan: Plan) -> torch.nn.Module:
        """The cut model, with the fitted maps."""
        model = apply(self.wiring.model, plan).eval()
        for edit in plan.block_edits:
            if edit.block in self.bridges:
                self.bridges[edit.block].put(model.get_submodule(plan.place(edit.block) or ""))
        return model

    def _divergence(self, model: torch.nn.Module) -> float:
        each = zip(self.batches, self.references, strict=True)
        errors = [(examples_in(x), mean_divergence(model, [x], [wanted])) for x, wanted in each]
        return sum(n * error for n, error in errors) / sum(n for n, _ in errors)

    def _bridge(self, name: str, current: str) -> Bridge | None:
        """The map that brings held-out outputs nearest, if it is worth its cost."""
        judge = slice(-1, None) if len(self.batches) > 1 else slice(None)
        fit = self.batches[:-1] or self.batches
        held, wanted = self.batches[judge], self.references[judge]
        plain = divergences(self.now, held, wanted, {current: {current: None}})[current]
        best, least = None, plain * _WORTH
        for bridge in bridges(self.now.model, current, name, fit):
            found = divergences(self.now, held, wanted, {current: {current: bridge.function}})[current]
            if found < least:
                try:
                    plan_blocks(self.wiring, [*self.edits, bridge.edit])
                except PlanError:  # forward gives the block more than a map takes
                    return None
                best, least = bridge, found
        return best


def _enough(cutting: _Cutting, blocks: int | None, budget: Budget | None, limits: dict[str, float]) -> bool:
    if blocks is not None:
        return len(cutting.edits) >= blocks
    if budget is None:
        return False
    cost = measure(cutting.now.model, cutting.wiring.example_inputs, latency="latency_ms" in limits)
    return all(getattr(cost, name) <= limit for name, limit in limits.items())


def _check(wiring: object, blocks: object, budget: object, threshold: object, influence: object) -> None:
    if not isinstance(wiring, Wiring):
        raise InputError(f"wiring is a {type(wiring).__name__}; give what trace(model, example_inputs) returns")
    if sum(each is not None for each in (blocks, budget, threshold)) != 1:
        raise InputError("give one of blocks (e.g. blocks=2), budget (e.g. Budget(macs=0.7)) and threshold (e.g. 0.01)")
    if blocks is not None and (not isinstance(blocks, int) or isinstance(blocks, bool) or blocks < 1):
        raise InputError(f"blocks={blocks!r} must be an int ≥ 1: how many blocks to cut")
    if budget is not None and not isinstance(budget, Budget):
        raise InputError(f"budget is a {type(budget).__name__}; give e.g. netsmith.Budget(macs=0.7)")
    if threshold is not None and not (isinstance(threshold, (int, float)) and threshold > 0):
        raise InputError(f"threshold={threshold!r} must be a number > 0")
    if influence not in ("divergence", "cosine"):
        raise InputError(f'influence={influence!r}; give "divergence" or "cosine"')
