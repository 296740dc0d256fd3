"""Influence from gradients: one backward pass for all blocks and branches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch

from ..data.running import eval_mode
from ..wiring import Block, Branch, Wiring
from ..wiring.recorder import tensors_in
from .batches import examples_in
from .gradients import Loss, differentiable, loss_of


def first_order(
    wiring: Wiring,
    parts: Sequence[Block],
    batches: Iterable[tuple[Any, Any]],
    loss: Loss | None = None,
    *,
    seed: int = 0,
) -> dict[str, float]:
    """How much the loss would change, to first order, were each part bypassed (a block) or silent (a branch).

    influence = mean over examples of |Σ ∂L/∂y · Δy|, with L the example's loss, y the part's result and Δy what it
    would change by: the block's input less y, or -y for a branch.

    Args:
        wiring: of the model.
        parts: its blocks and branches.
        batches: (inputs, labels) of each; without a loss labels are not looked at.
        loss: as in ``gradients``; None: towards labels drawn from the model's own predictions. (The divergence from the
            original would do no service: at the original its gradient is zero.)
        seed: of the labels that are drawn.

    Returns:
        part -> influence, ≥ 0, in units of the loss.

    Raises:
        InputError, EvidenceError: as ``gradients``.

    Source: after Molchanov et al., CVPR 2019, arXiv:1906.10771, here for whole blocks.
    """
    found, total = dict.fromkeys((part.name for part in parts), 0.0), 0
    generator = torch.Generator().manual_seed(seed)
    parameters = [p for p in wiring.model.parameters() if p.is_floating_point()]
    with torch.random.fork_rng(devices=[]), differentiable(parameters), eval_mode(wiring.model):
        for inputs, labels in batches:
            with torch.inference_mode(False), torch.enable_grad(), _Watched(wiring, parts) as watched:
                value = loss_of(wiring, inputs, labels, loss, None, generator)
                results = [watched.results[part.name] for part in parts]
                each = torch.autograd.grad(value, results, allow_unused=True) if results else ()
            count = examples_in(inputs)
            total += count
            for part, gradient in zip(parts, each, strict=True):
                if gradient is not None:  # the loss is a mean over the batch: times count it is each example's
                    change = gradient * watched.changes[part.name]
                    found[part.name] += count * float(change.flatten(1).sum(1).abs().sum())
    return {name: value / max(total, 1) for name, value in found.items()}


class _Watched:
    """Hooks that keep each part's result, and what it would change by."""

    def __init__(self, wiring: Wiring, parts: Sequence[Block]):
        self.wiring, self.parts = wiring, parts
        self.changes: dict[str, torch.Tensor] = {}
        self.results: dict[str, torch.Tensor] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> _Watched:
        for part in self.parts:
            module = self.wiring.model.get_submodule(part.name)
            if not isinstance(part, Branch):
                enter = partial(self._enter, part.name)
                self._handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
            self._handles.append(module.register_forward_hook(partial(self._leave, part.name)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _enter(self, name: str, module: Any, args: tuple, kwargs: dict) -> None:
        self.changes[name] = tensors_in((args, kwargs))[0].detach().clone()  # the block may overwrite it

    def _leave(self, name: str, module: Any, args: tuple, out: Any) -> None:
        result = self.results[name] = tensors_in(out)[0]
        before = self.changes.get(name)
        value = result.detach().clone()  # a sum may overwrite it
        self.changes[name] = -value if before is None else before - value
