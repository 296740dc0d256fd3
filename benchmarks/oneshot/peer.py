"""Torch-Pruning at the same cost: six criteria, ranked within layers or over all, with and without recalibration.

It cannot read option-A shortcuts (pruning the residual stream leaves a network that does not run), so as its users do
it prunes the inner width of each block; netsmith is free to change both.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from functools import partial

import torch
import torch_pruning as tp
from torch import Tensor, nn

import netsmith


def criteria() -> dict[str, tp.importance.Importance]:
    return {
        "magnitude L1": tp.importance.GroupMagnitudeImportance(p=1),
        "magnitude L2": tp.importance.GroupMagnitudeImportance(p=2),
        "BatchNorm scale": tp.importance.BNScaleImportance(),
        "LAMP": tp.importance.LAMPImportance(),
        "FPGM": tp.importance.FPGMImportance(),
        "Taylor": tp.importance.GroupTaylorImportance(),
    }


def pruned(
    model: nn.Module,
    x: Tensor,
    share: float,
    labelled: tuple[Tensor, Tensor],
    only: Collection[str] | None = None,
    scopes: Collection[str] = ("local", "global"),
) -> Iterator[tuple[str, nn.Module]]:
    """(name, network) for each criterion and scope, with at most ``share`` of the MACs. Taylor sees the labels.

    ``only`` names the criteria to try; None: all. A criterion that cannot get there is left out.
    """
    limit = share * netsmith.measure(model, x).macs
    for name, importance in criteria().items():
        if only is not None and name not in only:
            continue
        for scope in scopes:
            data = labelled if name == "Taylor" else None
            found = _smallest_that_fits(partial(_at_ratio, model, x, importance, scope, data), x, limit)
            if found is not None:
                yield f"{name}, {scope}", found.eval()


def _smallest_that_fits(made: Callable[[float], nn.Module], x: Tensor, limit: float) -> nn.Module | None:
    """Pruned at the smallest ratio that fits; None where none does.

    Ratios are tried from below: a layer that would lose more than ``max_pruning_ratio`` is left as it is, so that a
    large one may cost more than a smaller one.
    """

    def fits(network: nn.Module) -> bool:
        return bool(tp.utils.count_ops_and_params(network, x)[0] <= limit)

    high, best = 0.0, None
    while best is None and high < 0.95:
        high = min(high + 0.1, 0.95)
        network = made(high)
        best = network if fits(network) else None
    low = high - 0.1
    for _ in range(6 if best is not None else 0):
        ratio = (low + high) / 2
        network = made(ratio)
        low, high, best = (low, ratio, network) if fits(network) else (ratio, high, best)
    return best


def _at_ratio(
    model: nn.Module,
    x: Tensor,
    importance: tp.importance.Importance,
    scope: str,
    labelled: tuple[Tensor, Tensor] | None,
    ratio: float,
) -> nn.Module:
    network = copy.deepcopy(model).eval()
    if labelled is not None:
        network.zero_grad()
        nn.functional.cross_entropy(network(labelled[0]), labelled[1]).backward()
    tp.pruner.BasePruner(
        network,
        x,
        importance=importance,
        global_pruning=scope == "global",
        pruning_ratio=ratio,
        max_pruning_ratio=0.95,
        ignored_layers=_residual_layers(network),
    ).step()
    return network


def _residual_layers(network: nn.Module) -> list[nn.Module]:
    """Layers whose outputs are added to a shortcut, and the classifier."""
    inner = [m for name, m in network.named_modules() if isinstance(m, nn.Conv2d) and name.endswith("conv2")]
    return [network.conv1, network.linear, *inner]


def recalibrated(model: nn.Module, images: Tensor) -> nn.Module:
    """BatchNorm statistics recomputed on these (augmented) images."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    model.train()
    with torch.no_grad():
        for chunk in images.split(250):
            model(chunk)
    return model.eval()
