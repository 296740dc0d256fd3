"""The trained ResNet-56, and the same with fewer blocks and widths, healed without labels; kept in a folder."""

from __future__ import annotations

import sys
from pathlib import Path

from torch import nn

import netsmith
from netsmith.recovery import compensate, recalibrate, refine, rejoin
from netsmith.searches import plan_allocation, plan_cut
from netsmith.training import distil
from netsmith.wiring import tensor_slots
from netsmith.zoo import cifar_resnet

sys.path.insert(0, str(Path(__file__).parents[1] / "oneshot"))
sys.path.insert(1, str(Path(__file__).parents[1] / "healing"))
from run import images, trained
from stream import Stream, accuracy, fast, load

__all__ = ["images", "shrunk", "trained"]

BLOCKS, MACS, PARAMS = 10, 1 / 2.57, 0.46  # blocks that go; shares of the original that stay
RATE = 0.05


def shrunk(model: nn.Module, shared: Path, steps: int, kept: Path) -> nn.Module:
    """The model with 10 of 27 blocks fewer, at 1/2.57 of its MACs; read from ``kept`` where an earlier run left it.

    Blocks and widths are chosen and repaired with 1,024 unlabelled training images; so many steps of distillation
    without labels follow, on batches of 128 augmented images.
    """
    if not kept.is_dir():
        train, validation, test = load(shared)
        calibration = list(train[0][:1024].split(64))
        whole = netsmith.measure(model, test[0][:1])
        wiring = netsmith.trace(model, test[0][:1])
        cut = rejoin(wiring, plan_cut(wiring, blocks=BLOCKS, data=calibration), calibration)
        print(f"cut: {accuracy(cut.model, validation)} % of validation images", flush=True)
        here = netsmith.trace(cut.model, test[0][:1])
        budget = netsmith.Budget(macs=int(MACS * whole.macs), params=int(PARAMS * whole.params))
        plan = plan_allocation(here, budget=budget, data=calibration)
        done = refine(here, compensate(here, plan, calibration), calibration)
        small = recalibrate(model, done.model, done.plan, calibration).model
        print(f"narrowed: {accuracy(small, validation)} % of validation images", flush=True)
        data = Stream(*train, steps)
        healed = distil(fast(small), fast(model), data, steps=steps, lr=RATE, precision="bf16").eval()
        print(f"healed: {accuracy(healed, validation)} % of validation images", flush=True)
        joined = done.plan.after(cut.plan).with_refitted(slot.name for slot in tensor_slots(healed))
        netsmith.save(healed, kept, plan=joined)
    return netsmith.load(kept, lambda: cifar_resnet(56))
