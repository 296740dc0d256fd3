"""Torch-Pruning at the same cost: six criteria, ranked within layers or over all, with and without recalibration.

It cannot read option-A shortcuts (pruning the residual stream leaves a network that does not run), so as its users do
it prunes the inner width of each block; netsmith is free to change both.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator

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

    ``only`` names the criteria to try; None: all.
    """
    limit = share * netsmith.measure(model, x).macs
    for name, importance in criteria().items():
        if only is not None and name not in only:
            continue
        for scope in scopes:
            low, high, best = 0.0, 0.95, None
            for _ in range(9):  # the smallest ratio that fits
                ratio = (low + high) / 2
                network = _at_ratio(model, x, importance, scope, ratio, labelled if name == "Taylor" else None)
                fits = tp.utils.count_ops_and_params(network, x)[0] <= limit
                low, high = (low, ratio) if fits else (ratio, high)
                best = network if fits else best
            assert best is not None
            yield f"{name}, {scope}", best.eval()


def _at_ratio(
    model: nn.Module,
    x: Tensor,
    importance: tp.importance.Importance,
    scope: str,
    ratio: float,
    labelled: tuple[Tensor, Tensor] | None,
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
