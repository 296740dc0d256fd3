"""Which axes of a model can be put in another order without changing what it computes.

A unit that can be removed need not be one that can change places: a rotary embedding turns the units of a head in
pairs, a batch may be shuffled by position. What the wiring knows is left out; the rest is tried: all axes are shuffled
at once and the outputs compared, and where they differ the guilty ones are found by halving.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..data.running import eval_mode
from ..errors import ModelError
from ..surgery import permute
from ..wiring import Axis, Member, Wiring, call_model
from ..wiring.recorder import tensors_in

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Movable:
    """Axes whose units may change places.

    Attributes:
        axes: their names.
        left: free axes that stay as they are -> why.
        error: largest difference of an output of the shuffled model, relative to that output's largest magnitude.
    """

    axes: tuple[str, ...]
    left: Mapping[str, str]
    error: float


def movable(wiring: Wiring, *, model: nn.Module | None = None, tolerance: float = TOLERANCE, seed: int = 0) -> Movable:
    """Find the axes that can be reordered, by trying.

    Args:
        wiring: of the model.
        model: the one to try on, of the same structure; None: the wiring's.
        tolerance: of the outputs, relative to the largest magnitude of each.
        seed: of the orders that are tried.

    Raises:
        ModelError: the model does not give the same outputs twice.
    """
    model = wiring.model if model is None else model
    left: dict[str, str] = {}
    candidates = []
    for axis in wiring.free_axes:
        why = _fixed(axis, wiring)
        if why:
            left[axis.name] = why
        elif axis.size > 1:
            candidates.append(axis)
    rng = random.Random(seed)
    orders = {axis.name: rng.sample(range(axis.size), axis.size) for axis in candidates}
    reference = _outputs(model, wiring)
    if _largest(reference, _outputs(model, wiring)) > tolerance:
        raise ModelError(
            "the model does not give the same outputs twice; put it in eval mode, or take out what is random"
        )

    def error(names: Sequence[str]) -> float:
        return _largest(reference, _outputs(permute(model, wiring, {n: orders[n] for n in names}), wiring))

    def guilty(names: Sequence[str], known: float | None = None) -> list[str]:
        if not names or (error(names) if known is None else known) <= tolerance:
            return []
        if len(names) == 1:
            return list(names)
        half = len(names) // 2
        return guilty(names[:half]) + guilty(names[half:])

    names = [axis.name for axis in candidates]
    found = error(names) if names else 0.0
    bad = guilty(names, found)
    left |= {name: "its units have a place: the outputs change when they are reordered" for name in bad}
    good = [name for name in names if name not in bad]
    if bad:
        found = error(good) if good else 0.0
    if found > tolerance:  # harmless alone, not together
        left |= {name: "the outputs change when it is reordered together with other axes" for name in good}
        good, found = [], 0.0
    return Movable(tuple(good), left, found)


def _fixed(axis: Axis, wiring: Wiring) -> str | None:
    if axis.pinned:
        return "forward reads some of its units by position"
    computed = [m.tensor for m in axis.members if m.tensor in wiring.recomputed and _varies(m, wiring)]
    return f"{computed[0]} is computed by the constructor and in no state dict" if computed else None


def _varies(member: Member, wiring: Wiring) -> bool:
    """Whether a buffer holds other values for other units."""
    along = wiring.tensors[member.tensor].movedim(member.dim, 0)
    return not bool((along == along[:1]).all())


def _outputs(model: nn.Module, wiring: Wiring) -> list[torch.Tensor]:
    devices = sorted({t.get_device() for t in wiring.tensors.values() if t.is_cuda})
    with torch.random.fork_rng(devices=devices), eval_mode(model), torch.no_grad():
        torch.manual_seed(0)
        return [t.detach().clone() for t in tensors_in(_plain(call_model(model, wiring.example_inputs)))]


def _plain(output: Any) -> Any:
    """A library's output object as the dictionary that it is."""
    return dict(output) if isinstance(output, Mapping) else output


def _largest(ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor]) -> float:
    """Largest difference, relative to the largest magnitude of that output; infinite where shapes or NaN differ."""
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if a.shape != b.shape:
            return float("inf")
        if not a.is_floating_point():
            worst = max(worst, 0.0 if torch.equal(a, b) else float("inf"))
        elif a.numel():
            gap = torch.where(a == b, 0.0, (a.double() - b.double()).abs())
            relative = float(gap.max()) / max(float(a.double().abs().max()), 1e-12)
            worst = max(worst, relative if relative == relative else float("inf"))
    return worst
