"""Which neighbouring blocks to merge: those whose outputs are most alike first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from ..data.running import eval_mode
from ..errors import EvidenceError, InputError, PlanError
from ..evidence import as_data, calibration_batches, device_of, first_output, mean_divergence
from ..evidence.masks import Mask
from ..evidence.similarity import Likeness, Pair, similarity
from ..plans import BlockEdit, MergeBlocks, Plan, RemoveBlock, plan_blocks, plan_fusion
from ..surgery import apply
from ..wiring import Block, Wiring, call_model
from .cutting import candidates

How = Literal["average", "differences", "first"]
Progress = Callable[[int, int, str], None]

_WAYS: tuple[How, ...] = ("average", "differences", "first")


def plan_merge(
    wiring: Wiring,
    *,
    pairs: int | None = None,
    threshold: float | None = None,
    data: Iterable[Any] | None = None,
    likeness: Likeness = "cka",
    most_examples: int = 256,
    mask: Mask | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Plan to merge layers: exactly where algebra allows, or similar neighbouring blocks, two of which become one.

    Without ``pairs`` and ``threshold`` it is ``plan_fusion``: only what leaves the outputs in eval mode as they are.
    With one of them, blocks are merged that follow one another, are built alike, and whose outputs are most alike on
    the data: the later one goes, the earlier one gets the average of their weights, or the later one's differences
    added to its own, or keeps its own, whichever brings the outputs on the last batch nearest to the original's.
    ``recovery.rejoin`` then fits it to what the two did together. Both kinds chain: ``second.after(first)``.

    Args:
        wiring: of the model, from ``trace``.
        pairs: how many blocks to merge into the one before; or
        threshold: merge while the similarity is at least this, 0 to 1.
        data: unlabelled calibration batches, each ``x`` or ``(x, y)``; needed with pairs or threshold.
        likeness: "cka" or "cosine"; see ``evidence.similarity``.
        most_examples: used at most.
        mask: inputs -> (examples, positions), false or 0 where padding is, which then does not count.
        progress: called with (blocks merged, blocks in all or 0 if unknown, name of the block).

    Returns:
        A proven plan. ``left`` says which blocks could not be merged, and why.

    Raises:
        InputError: pairs and threshold both, without data, out of range, or more pairs than there are.
        EvidenceError: empty data, or values that are not finite.

    Sources: Yang et al. 2024, arXiv:2402.11187 (LaCo: differences); similarity as in Kornblith et al., ICML 2019,
        arXiv:1905.00414.
    """
    _check(wiring, pairs, threshold, data)
    if pairs is None and threshold is None:
        return plan_fusion(wiring)
    assert data is not None
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(wiring.model))
    with eval_mode(wiring.model):
        merging = _Merging(wiring, batches)
        likenesses = similarity(
            wiring, as_data(batches), merging.pairs, kind=likeness, most_examples=most_examples, mask=mask
        )
        for pair in sorted(likenesses, key=lambda p: -likenesses[p]):
            if len(merging.edits) == pairs or (threshold is not None and likenesses[pair] < threshold):
                break
            merging.merge(pair)
            if progress:
                progress(len(merging.edits), pairs or 0, pair[1])
    if pairs is not None and len(merging.edits) < pairs:
        why = "; ".join(f"{name}: {reason}" for name, reason in list(merging.left.items())[:3])
        raise InputError(
            f"pairs={pairs}, but only {len(merging.edits)} blocks can be merged into the one before"
            f"{f' ({why})' if why else ''}"
        )
    return replace(plan_blocks(wiring, merging.edits), left=merging.left)


@dataclass
class _Merging:
    """Merges pairs one after the other; blocks that merge into a merged one join its group."""

    wiring: Wiring
    batches: Sequence[Any]

    def __post_init__(self) -> None:
        model = self.wiring.model
        with torch.no_grad():
            self.judge = self.batches[-1:]
            self.references = [first_output(call_model(model, inputs)) for inputs in self.judge]
        if not all(bool(reference.isfinite().all()) for reference in self.references):
            raise EvidenceError("the model's outputs on the data are not finite; are its weights?")
        self.removals, self.left = candidates(self.wiring)
        self.edits: list[BlockEdit] = []
        self.pairs = self._pairs()

    def _pairs(self) -> list[Pair]:
        """Blocks that follow one another and are built alike."""
        blocks = self.wiring.blocks
        pairs = []
        for block in blocks:
            if block.name not in self.removals:
                continue
            before = [b for b in blocks if b.result == block.entry and b.residual and self._alike(b, block)]
            if before:
                pairs.append((before[0].name, block.name))
            else:
                self.left[block.name] = "no block of the same form comes right before it"
        return pairs

    def _alike(self, one: Block, other: Block) -> bool:
        shapes = [
            {name: tensor.shape for name, tensor in self.wiring.model.get_submodule(b.name).state_dict().items()}
            for b in (one, other)
        ]
        return one.kind == other.kind and shapes[0] == shapes[1]

    def merge(self, pair: Pair) -> None:
        """Merge the second block of a pair into the first, or into what that is merged into."""
        first, gone = pair
        groups = {edit.block: edit.into for edit in self.edits if isinstance(edit, MergeBlocks)}
        into = groups.get(first, first)
        removal = self.removals[gone]
        tried: dict[How, list[BlockEdit]] = {how: self._edits(removal, into, how) for how in _WAYS}
        try:
            plans = {how: plan_blocks(self.wiring, edits) for how, edits in tried.items()}
        except PlanError as error:
            self.left[gone] = str(error)
            return
        errors = {how: self._divergence(plan) for how, plan in plans.items()}
        self.edits = tried[min(_WAYS, key=lambda how: errors[how])]

    def _edits(self, removal: RemoveBlock, into: str, how: How) -> list[BlockEdit]:
        """The edits so far with one more; all that end in one group are combined in the same way."""
        edits: list[BlockEdit] = []
        for edit in self.edits:
            assert isinstance(edit, MergeBlocks)
            if edit.into == removal.block:  # what was merged into it goes along
                edit = replace(edit, into=into)
            edits.append(replace(edit, how=how) if edit.into == into else edit)
        return [*edits, MergeBlocks(removal.block, removal.delete, removal.lists, into, how)]

    def _divergence(self, plan: Plan) -> float:
        return mean_divergence(apply(self.wiring.model, plan).eval(), self.judge, self.references)


def _check(wiring: object, pairs: object, threshold: object, data: object) -> None:
    if not isinstance(wiring, Wiring):
        raise InputError(f"wiring is a {type(wiring).__name__}; give what trace(model, example_inputs) returns")
    if pairs is not None and threshold is not None:
        raise InputError("give pairs (e.g. pairs=2) or threshold (e.g. 0.99), not both")
    if pairs is not None and (not isinstance(pairs, int) or isinstance(pairs, bool) or pairs < 1):
        raise InputError(f"pairs={pairs!r} must be an int ≥ 1: how many blocks to merge into the one before")
    if threshold is not None and not (isinstance(threshold, (int, float)) and 0 < threshold <= 1):
        raise InputError(f"threshold={threshold!r} must be a similarity in (0, 1]")
    if (pairs is not None or threshold is not None) and data is None:
        raise InputError("merging similar blocks needs data: give unlabelled calibration batches")
