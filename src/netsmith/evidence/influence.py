"""How much a model's outputs depend on each of its blocks, without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from ..data.running import eval_mode
from ..errors import InputError, UnknownNameError
from ..wiring import Block, Branch, Transition, Wiring, call_model
from ..wiring.recorder import tensors_in
from ..wiring.trace import as_run
from .batches import device_of, examples_in, labelled_batches
from .bypassing import Instead, bypassed
from .divergence import divergence, first_output
from .first_order import first_order
from .gradients import Loss
from .resuming import Checkpoint, advance, resume

Kind = Literal["divergence", "cosine", "taylor"]
KINDS: tuple[Kind, ...] = ("divergence", "cosine", "taylor")
Progress = Callable[[int, int, str], None]


def influence(
    wiring: Wiring,
    data: Iterable[Any],
    *,
    blocks: Iterable[str] | None = None,
    kind: Kind = "divergence",
    loss: Loss | None = None,
    most_examples: int = 256,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, float]:
    """How much each block or branch matters, in call order.

    Args:
        wiring: of the model.
        data: batches, each ``x`` or ``(x, y)``; only a loss needs labels.
        blocks: names of blocks and branches; None: every block with a shortcut around it.
        kind: "divergence" of the outputs when the block returns its first input, or the branch zeros: mean KL in nats
            for class scores, else relative squared error; a forward for each. "cosine": Block Influence, 1 - the mean
            cosine of a block's input and output at each position, 0 to 2; one forward for all blocks. "taylor": the
            same bypass to first order, by gradients (see ``first_order``); one backward pass for all.
        loss: for "taylor", ``(output, y) -> scalar``; None: no labels are needed.
        most_examples: used at most.
        seed: of labels that "taylor" draws.
        progress: called with (blocks done, blocks in all, name).

    Returns:
        block -> influence, ≥ 0; higher = keep.

    Raises:
        InputError: kind, or data of the wrong kind.
        UnknownNameError: no such block.
        EvidenceError: empty data, values that are not finite, or a forward whose path depends on values.

    Source: "cosine" is Men et al. 2024, arXiv:2403.03853 (ShortGPT).
    """
    if kind not in KINDS:
        raise InputError(f"kind={kind!r}; give one of {', '.join(KINDS)}")
    if loss is not None and kind != "taylor":
        raise InputError(f'kind="{kind}" takes no loss; only "taylor" does')
    chosen = chosen_parts(wiring, blocks)
    labelled = list(labelled_batches(data, most_examples=most_examples, device=device_of(wiring.model)))
    if kind == "taylor":
        return first_order(wiring, chosen, labelled, loss, seed=seed)
    batches = [inputs for inputs, _ in labelled]
    with eval_mode(wiring.model):
        if kind == "cosine":
            silent = [part.name for part in chosen if isinstance(part, Branch)]
            if silent:
                raise InputError(f'kind="cosine" compares what enters and leaves a block; {silent[0]!r} is a branch')
            return block_influence(wiring.model, [b.name for b in chosen], batches)
        with torch.no_grad():
            references = [first_output(call_model(wiring.model, inputs)) for inputs in batches]
        changes = {part.name: {part.name: instead_of(part)} for part in chosen}
        return divergences(wiring, batches, references, changes, progress)


def chosen_parts(wiring: Wiring, names: Iterable[str] | None) -> list[Block]:
    """The blocks and branches of these names, or all blocks with a shortcut around them, in call order."""
    if names is None:
        return [block for block in wiring.blocks if block.residual and block.kept is None]
    wanted = (names,) if isinstance(names, str) else tuple(names)
    known = {name: part for name, part in wiring.parts.items() if not isinstance(part, Transition)}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        some = ", ".join(repr(name) for name in sorted(known)[:6])
        raise UnknownNameError(f"{unknown[0]!r} is no block of this model; blocks are {some or 'none'}")
    return sorted((known[name] for name in wanted), key=lambda part: (part.first_call, -part.last_call))


def instead_of(part: Block) -> Instead:
    """What a part returns while it is bypassed: a block its input, a branch zeros."""
    return "zeros" if isinstance(part, Branch) else None


def divergences(
    wiring: Wiring,
    batches: Sequence[Any],
    references: Sequence[torch.Tensor],
    changes: Mapping[str, Mapping[str, Instead]],
    progress: Progress | None = None,
) -> dict[str, float]:
    """Mean divergence from the references under each of several changes; what lies before a change runs once.

    Args:
        wiring: of a model in eval mode.
        batches, references: inputs, and the outputs wanted of them.
        changes: name -> blocks and what they return (as ``bypassed`` takes it).
    """
    wiring = as_run(wiring, batches[0])
    first = {name: part.first_call for name, part in wiring.parts.items()}
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
