"""Unit scores and the bias compensation of training-free pruners for transformers, as their papers give them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from netsmith import Plan
from netsmith.scores import Weights
from netsmith.wiring import Axis


class Inputs:
    """Mean and variance of every feature that enters each linear layer."""

    def __init__(self, model: nn.Module, batches: Sequence[dict[str, Tensor]]):
        self.mean: dict[str, Tensor] = {}
        self.var: dict[str, Tensor] = {}
        rows: dict[str, list[Tensor]] = {}
        hooks = [
            module.register_forward_pre_hook(
                lambda _, args, name=name: rows.setdefault(name, []).append(args[0].flatten(0, -2)[::4])
            )
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear)
        ]
        with torch.no_grad():
            for batch in batches:
                model(**batch)
        for hook in hooks:
            hook.remove()
        for name, pieces in rows.items():
            x = torch.cat(pieces)
            self.mean[f"{name}.weight"], self.var[f"{name}.weight"] = x.mean(0), x.var(0)


def _per_unit(axis: Axis, weights: Weights, feature: Callable[[str, Tensor], Tensor]) -> Tensor:
    """Sum of a feature score over the inputs of the layers that read the axis."""
    total = torch.zeros(axis.size)
    for member in axis.members:
        if member.role == "consumer" and member.trainable and member.dim == 1:
            scores = feature(member.tensor, weights.tensors[member.tensor].detach())
            total += torch.stack([scores[list(p)].sum() for p in member.positions])
    return total


def wanda_sp(inputs: Inputs) -> Callable[[Axis, Weights], Tensor]:
    """Sum of |weight| times the norm of its input (Sun et al., arXiv:2306.11695, for units as in An et al.)."""

    def score(axis: Axis, weights: Weights) -> Tensor:
        def feature(name: str, weight: Tensor) -> Tensor:
            return weight.abs().sum(0) * (inputs.var[name] + inputs.mean[name].square()).sqrt()

        return _per_unit(axis, weights, feature)

    return score


def flap(inputs: Inputs) -> Callable[[Axis, Weights], Tensor]:
    """Variance of an input times the squared norm of its weights (An et al., AAAI 2024, arXiv:2312.11983)."""

    def score(axis: Axis, weights: Weights) -> Tensor:
        return _per_unit(axis, weights, lambda name, weight: weight.square().sum(0) * inputs.var[name])

    return score


def compensate_biases(original: nn.Module, edited: nn.Module, plan: Plan, inputs: Inputs) -> nn.Module:
    """Add what the removed inputs gave on average to the bias of the layer that read them, in place."""
    modules = dict(edited.named_modules())
    for name, module in original.named_modules():
        weight = f"{name}.weight"
        if not isinstance(module, nn.Linear) or weight not in plan.layouts or module.bias is None:
            continue
        kept = plan.kept(weight)
        gone = torch.ones(module.in_features, dtype=torch.bool)
        gone[kept.get(1, list(range(module.in_features)))] = False
        constant = module.weight[:, gone] @ inputs.mean[weight][gone]
        rows = torch.tensor(kept.get(0, list(range(module.out_features))))
        with torch.no_grad():
            modules[name].bias.add_(constant[rows])
    return edited
