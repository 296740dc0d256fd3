"""The networks that are healed: resnet56-jpeg pruned by netsmith (no label seen) and by Torch-Pruning's best criterion.

Pruning takes minutes, so what it made is kept in ``--work`` and used again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1] / "oneshot"))
from peer import pruned, recalibrated
from run import accuracy, augmented

import netsmith
from netsmith.recovery import repair
from netsmith.searches import allocate, measure_curves
from netsmith.zoo import cifar_resnet

CRITERIA = ("magnitude L2", "FPGM")  # the best two of six in ../oneshot; Taylor wants more memory than there was
Labelled = tuple[Tensor, Tensor]


def by_netsmith(big: nn.Module, speedups: list[float], images: Tensor, work: Path) -> dict[float, nn.Module]:
    """What ``netsmith.shrink`` does, with the error curves of one pass for all budgets; 1,024 images."""
    found = {s: _kept(work / f"netsmith-{s:g}.safetensors") for s in speedups}
    if None not in found.values():
        return found
    calibration = list(images.split(64))
    wiring = netsmith.trace(big, images[:1])
    curves = measure_curves(wiring, calibration)
    for speedup in speedups:
        plan = allocate(curves, netsmith.Budget(macs=1 / speedup))
        found[speedup] = repair(wiring, plan, calibration).model
        _keep(found[speedup], work / f"netsmith-{speedup:g}.safetensors")
    return found


def by_torch_pruning(big: nn.Module, speedup: float, train: Labelled, validation: Labelled, work: Path) -> nn.Module:
    """The better of two criteria × two scopes on validation images, BatchNorm statistics recomputed."""
    kept = _kept(work / f"torch-pruning-{speedup:g}.safetensors")
    if kept is not None:
        return kept
    best, where = None, -1.0
    for name, network in pruned(big, train[0][:1], 1 / speedup, (train[0][:512], train[1][:512]), CRITERIA):
        again = recalibrated(network, augmented(train[0][:2000]))
        right = accuracy(again, validation)
        print(f"{speedup:g} {name}: {right}", flush=True)
        if right > where:
            best, where = again, right
    assert best is not None
    _keep(best, work / f"torch-pruning-{speedup:g}.safetensors")
    return best


def _keep(network: nn.Module, file: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, file)


def _kept(file: Path) -> nn.Module | None:
    """A ResNet-56 with the widths that its tensors have."""
    if not file.is_file():
        return None
    state, network = load_file(file), cifar_resnet(56)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.out_channels, module.in_channels = state[f"{name}.weight"].shape[:2]
        elif isinstance(module, nn.BatchNorm2d):
            module.num_features = len(state[f"{name}.weight"])
        elif isinstance(module, nn.Linear):
            module.in_features = state[f"{name}.weight"].shape[1]
        for key, _ in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            old = getattr(module, key)
            new = state[f"{name}.{key}"]
            setattr(module, key, nn.Parameter(new) if isinstance(old, nn.Parameter) else new)
    return network.eval()
