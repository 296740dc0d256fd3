"""Torch-Pruning on any of the families: its criteria, local or global, over all widths or only those inside blocks."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import torch_pruning as tp
from torch import Tensor, nn

import netsmith

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oneshot"))
from peer import criteria

_STEPS = 7  # of bisection
_MOST = 0.95  # of a layer is pruned at most


def pruned(
    model: nn.Module, x: Tensor, share: float, labelled: tuple[Tensor, Tensor], heads: int
) -> Iterator[tuple[str, nn.Module]]:
    """(name, network) for each setting that can reach ``share`` of the MACs. Taylor sees the labels.

    "inside" leaves what is added to a shortcut at its width, as is often done; "all" prunes the shortcuts' widths too.
    """
    limit = share * netsmith.measure(model, x).macs
    normalized = any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    places = {"all": _outputs(model), "inside": [*_outputs(model), *_added(model)]}
    if len(places["inside"]) == len(places["all"]):
        del places["inside"]  # nothing is added to anything
    for scope, place in product(("local", "global"), places):
        found = None
        for name, importance in criteria().items():
            if name == "BatchNorm scale" and not normalized:
                continue
            taylor = labelled if name == "Taylor" else None
            at = partial(_at_ratio, model, x, importance, scope, taylor, places[place], heads)
            if found is None or scope == "global":  # ranked layer by layer, all criteria give the same widths
                found = _smallest(at, x, limit)
            network = at(found)
            if netsmith.measure(network, x).macs <= limit:
                yield f"{name}, {scope}, {place}", network.eval()


def _smallest(at: Callable[[float], nn.Module], x: Tensor, limit: float) -> float:
    """The smallest ratio with which the network fits."""
    low, high = 0.0, _MOST
    for _ in range(_STEPS):
        ratio = (low + high) / 2
        low, high = (low, ratio) if netsmith.measure(at(ratio), x).macs <= limit else (ratio, high)
    return high


def _at_ratio(
    model: nn.Module,
    x: Tensor,
    importance: tp.importance.Importance,
    scope: str,
    labelled: tuple[Tensor, Tensor] | None,
    ignored: list[nn.Module],
    heads: int,
    ratio: float,
) -> nn.Module:
    layers = {id(layer) for layer in ignored}
    names = [name for name, module in model.named_modules() if id(module) in layers]
    network = copy.deepcopy(model).eval()
    if labelled is not None:
        network.zero_grad()
        nn.functional.cross_entropy(network(labelled[0]), labelled[1]).backward()
    attentions = [m for m in network.modules() if hasattr(m, "qkv")]
    tp.pruner.BasePruner(
        network,
        x,
        importance=importance,
        global_pruning=scope == "global",
        pruning_ratio=ratio,
        max_pruning_ratio=_MOST,
        ignored_layers=[network.get_submodule(name) for name in names],
        num_heads={m.qkv: heads for m in attentions},
    ).step()
    for attention in attentions:  # static attributes, as in Torch-Pruning's own example for timm
        attention.attn_dim = attention.qkv.out_features // 3
        attention.head_dim = attention.attn_dim // heads
    return network


def _outputs(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == 10]


def _added(model: nn.Module) -> list[nn.Module]:
    """Layers that end a block of MobileNetV2 or a ViT, and those that begin and end the network."""
    found: list[nn.Module] = []
    for name, module in model.named_modules():
        if type(module).__name__ == "InvertedResidual":
            found += [m for m in module.modules() if isinstance(m, nn.Conv2d)][-1:]
        elif name.endswith(("attn.proj", "mlp.fc2", "patch_embed.proj")):
            found.append(module)
    return found
