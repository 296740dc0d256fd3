"""How much a model's outputs depend on each of its blocks, without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from ..data.running import eval_mode
from ..errors import InputError, UnknownNameError
from ..wiring import Block, Wiring, call_model
from ..wiring.recorder import tensors_in
from ..wiring.trace import as_run
from .batches import calibration_batches, device_of, examples_in
from .bypassing import Function, bypassed
from .divergence import divergence, first_output
from .resuming import Checkpoint, advance, resume

Kind = Literal["divergence", "cosine"]
Progress = Callable[[int, int, str], None]


def influence(
    wiring: Wiring,
    data: Iterable[Any],
    *,
    blocks: Iterable[str] | None = None,
    kind: Kind = "divergence",
    most_examples: int = 256,
    progress: Progress | None = None,
) -> dict[str, float]:
    """How much each block matters, in call order.

    Args:
        wiring: of the model.
        data: unlabelled batches, each ``x`` or ``(x, y)``.
        blocks: their names; None: every block with a shortcut around it.
        kind: "divergence" of the outputs when the block returns its first input: mean KL in nats for class scores,
            else relative squared error. "cosine": Block Influence, 1 - the mean cosine of the block's input and output
            at each position, 0 to 2; one forward for all blocks.
        most_examples: used at most.
        progress: called with (blocks done, blocks in all, name).

    Returns:
        block -> influence, ≥ 0; higher = keep.

    Raises:
        InputError: kind, or data of the wrong kind.
        UnknownNameError: no such block.
        EvidenceError: empty data, values that are not finite, or a forward whose path depends on values.

    Source: "cosine" is Men et al. 2024, arXiv:2403.03853 (ShortGPT).
    """
    if kind not in ("divergence", "cosine"):
        raise InputError(f'kind={kind!r}; give "divergence" or "cosine"')
    chosen = chosen_blocks(wiring, blocks)
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(wiring.model))
    with eval_mode(wiring.model):
        if kind == "cosine":
            return block_influence(wiring.model, [b.name for b in chosen], batches)
        with torch.no_grad():
            references = [first_output(call_model(wiring.model, inputs)) for inputs in batches]
        changes: dict[str, Mapping[str, Function | None]] = {b.name: {b.name: None} for b in chosen}
        return divergences(wiring, batches, references, changes, progress)


def chosen_blocks(wiring: Wiring, names: Iterable[str] | None) -> list[Block]:
    """The blocks of these names, or all with a shortcut around them, in call order."""
    if names is None:
        return [block for block in wiring.blocks if block.residual and block.kept is None]
    wanted = (names,) if isinstance(names, str) else tuple(names)
    known = {block.name for block in wiring.blocks}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        some = ", ".join(repr(name) for name in sorted(known)[:6])
        raise UnknownNameError(f"{unknown[0]!r} is no block of this model; blocks are {some or 'none'}")
    return [block for block in wiring.blocks if block.name in wanted]


def divergences(
    wiring: Wiring,
    batches: Sequence[Any],
    references: Sequence[torch.Tensor],
    changes: Mapping[str, Mapping[str, Function | None]],
    progress: Progress | None = None,
) -> dict[str, float]:
    """Mean divergence from the references under each of several changes; what lies before a change runs once.

    Args:
        wiring: of a model in eval mode.
        batches, references: inputs, and the outputs wanted of them.
        changes: name -> blocks and what they return (as ``bypassed`` takes it).
    """
    wiring = as_run(wiring, batches[0])
    first = {block.name: block.first_call for block in wiring.blocks}
    starts = [Checkpoint(0, inputs) for inputs in batches]
    weights = [examples_in(inputs) for inputs in batches]
    found: dict[str, float] = {}
    for name in sorted(changes, key=lambda n: min(first[block] for block in changes[n])):
        starts = [advance(wiring, s, max(s.call, min(first[block] for block in changes[name]))) for s in starts]
        total = 0.0
        for start, reference, weight in zip(starts, references, weights, strict=True):
            with bypassed(wiring.model, changes[name]):
                out = first_output(resume(wiring, wiring.model, start))
            total += weight * float(divergence(reference, out))
        found[name] = total / sum(weights)
        if progress:
            progress(len(found), len(changes), name)
    return {name: found[name] for name in changes}


@torch.no_grad()
def block_influence(model: nn.Module, names: Sequence[str], batches: Sequence[Any]) -> dict[str, float]:
    """1 - mean cosine between each block's first input and first output, along features."""
    entered: dict[str, torch.Tensor] = {}
    sums, counts = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)

    def enter(name: str, module: nn.Module, args: tuple, kwargs: dict) -> None:
        entered[name] = tensors_in((args, kwargs))[0].clone()  # the block may overwrite it

    def leave(name: str, module: nn.Module, args: tuple, kwargs: dict, out: Any) -> None:
        x, y = entered.pop(name), tensors_in(out)[0]
        each = nn.functional.cosine_similarity(x.float(), y.float(), dim=feature_dim(x))
        sums[name] += float(each.double().sum())
        counts[name] += each.numel()

    handles = []
    try:
        for name in names:
            module = model.get_submodule(name)
            handles.append(module.register_forward_pre_hook(partial(enter, name), with_kwargs=True))
            handles.append(module.register_forward_hook(partial(leave, name), with_kwargs=True))
        for inputs in batches:
            call_model(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return {name: max(0.0, 1 - sums[name] / max(counts[name], 1)) for name in names}


def feature_dim(x: torch.Tensor) -> int:
    """Where features lie: dimension 1 of images (N, C, H, W), else the last."""
    return 1 if x.dim() == 4 else x.dim() - 1
