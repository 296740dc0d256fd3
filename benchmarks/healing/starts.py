"""The networks that are healed: resnet56-jpeg pruned by netsmith (no label seen) and by Torch-Pruning's best criterion.

Pruning takes minutes, so what it made is kept in ``--work`` and used again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1] / "oneshot"))
from peer import pruned, recalibrated
from run import accuracy, augmented

import netsmith
from netsmith.recovery import compensate, recalibrate, refine
from netsmith.searches import allocate, measure_curves

CRITERIA = ("magnitude L2", "FPGM")  # the best two of six in ../oneshot; Taylor wants more memory than there was
Labelled = tuple[Tensor, Tensor]


def by_netsmith(big: nn.Module, speedups: list[float], images: Tensor, work: Path) -> dict[float, nn.Module]:
    """What ``netsmith.shrink`` does, with the error curves of one pass for all budgets; 1,024 images."""
    found = {s: _kept(work / f"netsmith-{s:g}.pt") for s in speedups}
    if None not in found.values():
        return found
    calibration = list(images.split(64))
    wiring = netsmith.trace(big, images[:1])
    curves = measure_curves(wiring, calibration)
    for speedup in speedups:
        plan = allocate(curves, netsmith.Budget(macs=1 / speedup))
        done = refine(wiring, compensate(wiring, plan, calibration), calibration)
        found[speedup] = recalibrate(big, done.model, done.plan, calibration).model
        torch.save(found[speedup], work / f"netsmith-{speedup:g}.pt")
    return found


def by_torch_pruning(big: nn.Module, speedup: float, train: Labelled, validation: Labelled, work: Path) -> nn.Module:
    """The better of two criteria × two scopes on validation images, BatchNorm statistics recomputed."""
    kept = _kept(work / f"torch-pruning-{speedup:g}.pt")
    if kept is not None:
        return kept
    best, where = None, -1.0
    for name, network in pruned(big, train[0][:1], 1 / speedup, (train[0][:512], train[1][:512]), CRITERIA):
        again = recalibrated(network, augmented(train[0][:2000]))
        right = accuracy(again, validation)
        print(f"{speedup:g} {name}: {right}", flush=True)
        if right > where:
            best, where, again.criterion = again, right, name
    assert best is not None
    torch.save(best, work / f"torch-pruning-{speedup:g}.pt")
    return best


def _kept(file: Path) -> nn.Module | None:
    return torch.load(file, weights_only=False) if file.is_file() else None  # this benchmark's own file
