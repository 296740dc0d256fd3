"""The trained ResNet-56, and the same pruned to a share of its MACs by netsmith without training, kept in a folder."""

from __future__ import annotations

import sys
from pathlib import Path

from torch import Tensor, nn

import netsmith
from netsmith.recovery import compensate, recalibrate, refine
from netsmith.searches import plan_allocation
from netsmith.zoo import cifar_resnet

sys.path.insert(0, str(Path(__file__).parents[1] / "oneshot"))
from run import images, trained

__all__ = ["images", "pruned", "trained"]


def pruned(model: nn.Module, calibration: list[Tensor], speedup: float, kept: Path) -> nn.Module:
    """The model at 1/speedup of its MACs; read from ``kept`` where an earlier run left it there."""
    if not kept.is_dir():
        wiring = netsmith.trace(model, calibration[0][:1])
        plan = plan_allocation(wiring, budget=netsmith.Budget(macs=1 / speedup), data=calibration)
        done = refine(wiring, compensate(wiring, plan, calibration), calibration)
        done = recalibrate(model, done.model, done.plan, calibration)
        netsmith.save(done.model, kept, plan=done.plan)
    return netsmith.load(kept, lambda: cifar_resnet(56))
