"""``sparsify``: zeros whose loss the weights beside them take over (SparseGPT)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from ..errors import InputError, PlanError
from ..evidence import Activations, LayerInputs
from ..evidence.masks import Mask
from ..evidence.patches import matrix_weight, weight_matrix
from ..plans import Plan
from ..plans.protection import protected_tensors
from ..plans.sparsity import edit_of, gathered, lowest_of_each, parse_pattern, prunable, zeros_of
from ..surgery import apply
from ..wiring import Wiring, tensor_slots
from .repaired import Repaired
from .sweeping import inverse_factor, output_error, swept

Progress = Callable[[int, int, str], None]


def sparsify(
    wiring: Wiring,
    data: Iterable[Any] | Activations,
    *,
    share: float | None = None,
    pattern: str | None = None,
    plan: Plan | None = None,
    ignore: Iterable[str] = (),
    damping: float = 0.01,
    mask: Mask | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Repaired:
    """Set weights to zero, and let those to their right in the same row make up for it.

    Column by column: a zeroed weight's error moves the later weights of its row so that the layer's output changes
    least. Unless a plan says which become zero, those whose loss costs least at that point do: w² / U², with U of
    ``sweeping.inverse_factor``.

    Args:
        wiring: of the model.
        data: unlabelled batches, or activations gathered from them with Gram matrices.
        share: of each layer's weights that become zero, > 0 and < 1.
        pattern: "2:4": of 4 neighbours along a layer's inputs 2 stay.
        plan: of ``plan_sparsity``; its zeros, and nothing else. One of share, pattern and plan.
        ignore: as in ``plan_sparsity``.
        damping: of the Gram matrices, as a share of their mean diagonal.
        mask, seed: as in ``evidence.activations``.
        progress: called with (layers done, layers in all, name).

    Returns:
        The sparse model and its plan, which lists the layers as refitted. ``errors`` holds the squared change of each
        layer's outputs, as a share of their square: with these zeros alone, and as it is. Layers without a Gram matrix
        (very wide ones) are left as they are, or as the plan alone makes them.

    Raises:
        InputError: not exactly one of share, pattern and plan; an option out of range.
        PlanError: the plan sets no weights to zero, or others come before it.

    Source: Frantar and Alistarh, ICML 2023, arXiv:2301.00774.
    """
    kept_of = _check(share, pattern, plan, damping)
    seen = gathered(wiring, data, mask, seed, gram=True)
    ignored = protected_tensors(wiring, ignore)
    given = {} if plan is None else {edit.tensor: zeros_of(edit) for edit in plan.sparsities}
    layers = [n for n in prunable(wiring) if n not in ignored and (plan is None or n in given)]
    edits, left, made = {}, dict(plan.left if plan else {}), {}
    errors: dict[str, tuple[float, float]] = {}
    for number, name in enumerate(layers, start=1):
        inputs, weight = seen.layers.get(name), wiring.tensors[name].detach()
        channels = weight.shape[0 if inputs is not None and inputs.contracted == 0 else 1]
        if inputs is None or inputs.gram is None:
            left[name] = "has no Gram matrix"
        elif kept_of is not None and channels % kept_of[1]:
            left[name] = f"has {channels} inputs, which is no multiple of {kept_of[1]}"
        else:
            made[name], errors[name] = _swept(weight, inputs, share, kept_of, given.get(name), damping)
            edits[name] = edit_of(name, made[name] == 0, pattern)
        if progress:
            progress(number, len(layers), name)
    if plan is None:
        plan = Plan(tuple(edits.values()), {}, {}, {}, wiring.fingerprint, left=left)
    model = apply(wiring.model, plan).eval()
    with torch.no_grad():
        for slot in tensor_slots(model):
            if slot.name in made:
                slot.tensor.copy_(made[slot.name])
    tied = {alias for alias, first in wiring.aliases.items() if first in made}
    return Repaired(model, plan.with_refitted({*made, *tied}), errors)


def _check(share: Any, pattern: Any, plan: Any, damping: Any) -> tuple[int, int] | None:
    if sum(each is not None for each in (share, pattern, plan)) != 1:
        raise InputError("give one of share=0.5, pattern='2:4' and plan=plan_sparsity(...)")
    if share is not None and not (isinstance(share, int | float) and 0 < share < 1):
        raise InputError(f"share={share!r} must be > 0 and < 1")
    if plan is not None and (not isinstance(plan, Plan) or plan.before or not plan.sparsities):
        raise PlanError("sparsify takes a plan of plan_sparsity, made for the wired model, with none before it")
    if not damping > 0:
        raise InputError(f"damping={damping!r} must be > 0")
    return None if pattern is None else parse_pattern(pattern)


def _swept(
    weight: torch.Tensor,
    inputs: LayerInputs,
    share: float | None,
    kept_of: tuple[int, int] | None,
    given: torch.Tensor | None,
    damping: float,
) -> tuple[torch.Tensor, tuple[float, float]]:
    """The weight with zeros, and (error of the zeros alone, error as it is)."""
    assert inputs.gram is not None
    groups = len(inputs.gram)
    rows = weight_matrix(weight, inputs.name, groups).transpose(1, 2)  # (groups, outputs, inputs)
    fixed = None if given is None else weight_matrix(given, inputs.name, groups).transpose(1, 2)
    order = _channels_last(weight, rows.shape[2], inputs.contracted)
    back = order.argsort()
    block = 128 if kept_of is None else 128 // kept_of[1] * kept_of[1] or kept_of[1]
    done, alone, after = [], 0.0, 0.0
    for group, gram in enumerate(inputs.gram):
        values, gram = rows[group][:, order], gram[order][:, order]
        zeros = None if fixed is None else fixed[group][:, order]
        choose = _Zeros(share, kept_of, zeros)
        new = swept(values, inverse_factor(gram, damping), choose, block)
        new = torch.where(choose.zeros, 0, new).to(values.dtype)
        alone += output_error(torch.where(choose.zeros, -values, 0), values, gram) / groups
        after += output_error(new - values, values, gram) / groups
        done.append(new[:, back])
    return matrix_weight(torch.stack(done).transpose(1, 2), weight, inputs.name), (alone, after)


class _Zeros:
    """Chooses each block's zeros when the sweep arrives there, and remembers them."""

    def __init__(self, share: float | None, kept_of: tuple[int, int] | None, given: torch.Tensor | None):
        self.share, self.kept_of, self.given = share, kept_of, given
        self.zeros = torch.zeros(0, dtype=torch.bool)

    def __call__(
        self, start: int, values: torch.Tensor, diagonal: torch.Tensor
    ) -> Callable[[int, torch.Tensor], torch.Tensor]:
        if self.given is not None:
            here = self.given[:, start : start + values.shape[1]]
        else:
            score = values.square() / diagonal.square()
            if self.kept_of is not None:
                here = lowest_of_each(score, 1, *self.kept_of)
            else:
                assert self.share is not None
                lowest = score.flatten().argsort(stable=True)[: round(self.share * score.numel())]
                here = torch.zeros(score.numel(), dtype=torch.bool).index_fill_(0, lowest, True).reshape(score.shape)
        self.zeros = here if start == 0 else torch.cat([self.zeros, here], 1)
        return lambda i, column: torch.where(here[:, i - start], 0, column)


def _channels_last(weight: torch.Tensor, inputs: int, contracted: int) -> torch.Tensor:
    """Positions in a row of the weight, so ordered that channels of one kernel position are neighbours."""
    channels = inputs if contracted == 0 else weight.shape[1]
    return torch.arange(inputs).reshape(channels, -1).T.flatten()
