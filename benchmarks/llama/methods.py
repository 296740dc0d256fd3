"""Every way of this benchmark to make the Llama smaller: baselines and netsmith."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from slicegpt import sliced, sliced_once
from torch import Tensor, nn
from transformers import LlamaForCausalLM

import netsmith
from netsmith.plans import Plan
from netsmith.plans.sizing import changeable_axes
from netsmith.plans.widths import best_units, plan_for, proven_sizing
from netsmith.recovery import repair
from netsmith.scores import Score, Weights, magnitude
from netsmith.searches import Curves, allocate, measure_curves
from netsmith.wiring import Wiring

sys.path.append(str(Path(__file__).resolve().parents[1] / "minilm"))
from baselines import Inputs, compensate_biases, flap, wanda_sp

STREAM = ("model.embed_tokens",)  # what lies on the residual stream
ATTENTION = (*STREAM, "model.layers.*.self_attn")  # and on heads
Batch = dict[str, Any]
Made = tuple[nn.Module, Plan | None]  # a plan where netsmith.load can build the model again


def decoder_params(model: nn.Module) -> int:
    return sum(p.numel() for p in model.get_submodule("model.layers").parameters())


class Methods:
    """Every way to make the network smaller; each takes the share of the decoder's parameters that is to go."""

    def __init__(self, model: LlamaForCausalLM, data: list[Batch]):
        self.model, self.data = model, data
        self.whole = decoder_params(model)
        self.wiring = netsmith.trace(model, data[0])
        self.inputs = Inputs(model, data)
        self.made: dict[Any, Made] = {}

    def measure_curves(self) -> float:
        """Once, for every share; seconds."""
        start = time.perf_counter()
        self.curves = measure_curves(self.wiring, self.data, cut="whole", most_judged=64)
        return time.perf_counter() - start

    def table(self) -> dict[str, Callable[[float], Made]]:
        wanda = wanda_sp(self.inputs)
        return {
            "magnitude": lambda share: self.kept(self.uniform(share, magnitude, STREAM)),
            "magnitude, feed-forward only": lambda share: self.kept(self.uniform(share, magnitude, ATTENTION)),
            "Wanda-sp": lambda share: self.kept(self.uniform(share, wanda, STREAM)),
            "Wanda-sp, feed-forward only": lambda share: self.kept(self.uniform(share, wanda, ATTENTION)),
            "FLAP, uniform widths": lambda share: self.flapped(share, STREAM),
            "FLAP, feed-forward only": lambda share: self.flapped(share, ATTENTION),
            "FLAP, adaptive widths": lambda share: self.flapped(share, None),
            "SliceGPT, one rotation": lambda share: self.slice(sliced_once, share),
            "SliceGPT": lambda share: self.slice(sliced, share),
            "netsmith, uniform inner widths": lambda share: self.repaired(self.uniform(share, self.ranked, STREAM)),
            "netsmith, uniform widths and stream": lambda share: self.repaired(self.uniform(share, self.ranked, ())),
            "netsmith, allocated inner widths": lambda share: self.repaired(self.allocated(share, STREAM)),
            "netsmith, allocated widths and stream": lambda share: self.repaired(self.allocated(share, ())),
        }

    def ranked(self, axis: Any, weights: Weights) -> Tensor:
        """The order in which elimination keeps units, found while the curves were measured."""
        order = torch.tensor(self.curves.ranks[axis.name])
        return torch.empty(axis.size).scatter_(0, order, torch.arange(axis.size, 0, -1).float())

    def uniform(self, share: float, score: Score, ignore: tuple[str, ...]) -> Plan:
        return self.within(
            share,
            lambda budget: netsmith.plan_removal(self.wiring, budget=budget, cut="whole", score=score, ignore=ignore),
        )

    def allocated(self, share: float, ignore: tuple[str, ...]) -> Plan:
        curves = without(self.curves, ignore)
        return self.within(share, lambda budget: allocate(curves, budget))

    def within(self, share: float, planned: Callable[[netsmith.Budget], Plan]) -> Plan:
        """The plan under a budget of all parameters at which the decoder blocks keep no more than their share.

        Embedding and head shrink with the stream; what they give is not for the blocks to keep.
        """
        outside = sum(p.numel() for p in self.model.parameters()) - self.whole
        while True:
            plan = planned(netsmith.Budget(params=float(outside + int((1 - share) * self.whole))))
            small = netsmith.apply(self.model, plan)
            if decoder_params(small) <= (1 - share) * self.whole:
                return plan
            outside = sum(p.numel() for p in small.parameters()) - decoder_params(small)

    def kept(self, plan: Plan) -> Made:
        return netsmith.apply(self.model, plan), plan

    def repaired(self, plan: Plan) -> Made:
        if plan.edits not in self.made:  # allocation may leave the stream alone by itself
            result = repair(self.wiring, plan, self.data)
            self.made[plan.edits] = result.model, result.plan
        return self.made[plan.edits]

    def flapped(self, share: float, ignore: tuple[str, ...] | None) -> Made:
        """FLAP adds a bias behind each removal; Llama has none, so they start from zero. None: adaptive widths."""
        model = copy.deepcopy(self.model)
        for block in model.model.layers:
            for layer in (block.self_attn.o_proj, block.mlp.down_proj):
                layer.bias = nn.Parameter(torch.zeros(layer.out_features))
        wiring = netsmith.trace(model, self.data[0])
        score = flap(self.inputs)
        if ignore is None:
            plan = standardized(wiring, score, lambda small: decoder_params(small) <= (1 - share) * self.whole)
        else:
            limit = sum(p.numel() for p in self.model.parameters()) - int(share * self.whole)
            budget = netsmith.Budget(params=float(limit))
            plan = netsmith.plan_removal(wiring, budget=budget, cut="whole", score=score, ignore=ignore)
        return compensate_biases(model, netsmith.apply(model, plan), plan, self.inputs), None

    def slice(self, make: Callable[..., LlamaForCausalLM], share: float) -> Made:
        """The widest stream at which the blocks, with the shortcuts' matrices, fit."""
        tokens = [batch["input_ids"] for batch in self.data]
        low, high = 1, self.model.config.hidden_size
        while low < high:
            width = (low + high + 1) // 2
            fits = decoder_params(make(self.model, tokens[:1], width)) <= (1 - share) * self.whole
            low, high = (width, high) if fits else (low, width - 1)
        return make(self.model, tokens, low), None


def without(curves: Curves, ignore: tuple[str, ...]) -> Curves:
    """Without the curves of the axes that lie on these modules."""
    spared = {n for n in curves.ranks if any(n.startswith(module) for module in ignore)}
    return replace(curves, curves=tuple(c for c in curves.curves if not spared & set(c.axes)))


def standardized(wiring: Wiring, score: Score, fits: Callable[[nn.Module], bool]) -> Plan:
    """FLAP's adaptive widths: scores standardized within each axis, then one threshold for all."""
    axes = [wiring.axis[n] for n in changeable_axes(wiring, (), "whole") if not n.startswith(STREAM)]
    scores = {
        axis.name: score(axis, Weights({m.tensor: wiring.tensors[m.tensor] for m in axis.members})) for axis in axes
    }
    standard = {name: (s - s.mean()) / s.std() for name, s in scores.items()}
    thresholds = torch.cat(list(standard.values())).sort().values.tolist()

    def plan_at(threshold: float) -> Plan:
        targets = {name: max(1, int((s > threshold).sum())) for name, s in standard.items()}
        sizing, left = proven_sizing(wiring, targets)
        chosen = {
            axis.name: best_units(axis, scores[axis.name], sizing.sizes[axis.name])
            for axis in axes
            if sizing.sizes[axis.name] != axis.size
        }
        return plan_for(wiring, sizing, chosen, left)

    low, high = 0, len(thresholds) - 1  # the first that fits
    while low < high:
        middle = (low + high) // 2
        if fits(netsmith.apply(wiring.model, plan_at(thresholds[middle]))):
            high = middle
        else:
            low = middle + 1
    return plan_at(thresholds[low])
