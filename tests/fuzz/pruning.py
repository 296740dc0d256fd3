"""Prunes the network of a seed at random and says what is wrong with the result."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import netsmith
from fuzz.networks import network
from netsmith.wiring.layouts import axis_names


@dataclass(frozen=True)
class Pruned:
    """What came of one seed.

    Attributes:
        share: of the parameters that are left.
        statuses: of the verdict's checks, by name.
        compared: whether the second judge had something to say (no statistic over the removed units).
    """

    share: float
    statuses: dict[str, str]
    compared: bool


def pruned(seed: int, keep: float | None = None) -> Pruned:
    """Trace, plan, apply, and judge by ``verify``, by zeroing consumers, and by training steps.

    Raises:
        AssertionError: says what is wrong.
    """
    rng = random.Random(f"plan {seed}")
    model, x = network(seed)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wiring = netsmith.trace(model, x)
    share = keep or rng.choice([0.3, 0.37, 0.5, 0.5, 0.66, 0.8])
    cut: Any = rng.choice(["inside", "whole"])
    plan = netsmith.plan_removal(wiring, keep=share, cut=cut)
    small = netsmith.apply(model, plan)
    about = f"seed {seed}, keep={share}, cut={cut!r}\n{model}\n{plan}"
    verdict = netsmith.verify(model, small, plan, x)
    assert verdict.ok, f"{verdict}\n{about}"
    compared = not any(edit.statistics for edit in plan.edits)
    if compared:
        gap = _gap_to_zeroed_consumers(model, small, plan, wiring, x)
        assert gap < 1e-9, f"with the removed units' consumers at zero the original differs by {gap:.1e}\n{about}"
    _runs(small, model, x, about)
    after = model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items()), f"the original changed\n{about}"
    return Pruned(_count(small) / _count(model), {c.name: c.status for c in verdict.checks}, compared)


def _gap_to_zeroed_consumers(
    model: nn.Module, small: nn.Module, plan: netsmith.Plan, wiring: netsmith.Wiring, x: Tensor
) -> float:
    """Largest difference from the original in which nothing reads the removed units, relative to its largest output.

    Only weights that contract an edited axis are set to zero: what makes the units stays as it is. Where units do not
    only meet weights (queries meet keys) the makers are set to zero as well.
    """
    keep = plan.keep()
    meeting = _axes_of_products(wiring)
    zeroed = copy.deepcopy(model).double()
    tensors = {**dict(zeroed.named_parameters()), **dict(zeroed.named_buffers())}
    with torch.no_grad():
        for axis in wiring.axes:
            if axis.name not in keep:
                continue
            plain = axis.name not in meeting and any(m.role == "consumer" for m in axis.members)
            for member in axis.members:
                if member.tensor in tensors and member.trainable and (member.role == "consumer" or not plain):
                    gone = [p for u, ps in enumerate(member.positions) if u not in keep[axis.name] for p in ps]
                    tensors[member.tensor].index_fill_(member.dim, torch.tensor(gone, dtype=torch.long), 0)
        x = x.double() if x.is_floating_point() else x
        expected, found = zeroed(x), copy.deepcopy(small).double()(x)
    return float((expected - found).abs().max() / expected.abs().max().clamp(min=1e-9))


def _axes_of_products(wiring: netsmith.Wiring) -> set[str]:
    """Axes over which two values of the forward are multiplied, neither of them a weight."""
    found: set[str] = set()
    for call in wiring.calls:
        if call.name not in ("matmul", "bmm", "einsum", "__matmul__", "scaled_dot_product_attention"):
            continue
        computed = [
            {name for layout in dims for name in axis_names(layout)}
            for dims, origin in zip(call.inputs, call.origins, strict=True)
            if origin.kind == "call"
        ]
        for i, left in enumerate(computed):
            for right in computed[i + 1 :]:
                found |= left & right
    return found


def _runs(small: nn.Module, model: nn.Module, x: Tensor, about: str) -> None:
    """Forward and backward in train and in eval mode."""
    small = copy.deepcopy(small)
    for training in (True, False):
        small.train(training).zero_grad()
        out = small(x)
        assert out.shape == model.eval()(x).shape and bool(out.isfinite().all()), about
        out.square().mean().backward()
        missing = [n for n, p in small.named_parameters() if p.grad is None or not bool(p.grad.isfinite().all())]
        assert not missing, f"no sound gradient for {missing}\n{about}"


def _count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
