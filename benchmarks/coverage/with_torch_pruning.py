"""Torch-Pruning, set up as its documentation says: output layers ignored, head counts passed in and repaired after."""

from __future__ import annotations

import time
from typing import Any

import torch_pruning as tp
from torch import nn

_HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head")


def prune(model: nn.Module, x: Any, ratio: float, outputs: list[nn.Module], info: dict[str, Any]) -> nn.Module:
    start = time.perf_counter()
    heads: dict[nn.Module, int] = {}
    for module in model.modules():
        count = next((getattr(module, name) for name in _HEADS if isinstance(getattr(module, name, None), int)), None)
        if count is None:
            continue
        for name in (
            "qkv",
            "q_proj",
            "k_proj",
            "v_proj",
            "query",
            "key",
            "value",
            "c_attn",
            "q",
            "k",
            "v",
            "q_lin",
            "k_lin",
            "v_lin",
        ):
            layer = getattr(module, name, None)
            if isinstance(layer, nn.Linear):
                groups = getattr(getattr(module, "config", None), "num_key_value_heads", count)
                heads[layer] = groups if name in ("k_proj", "v_proj") else count
    pruner = tp.pruner.BasePruner(
        model,
        x[0] if isinstance(x, tuple) else x,
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=False,
        pruning_ratio=ratio,
        ignored_layers=outputs,
        num_heads=heads,
        prune_num_heads=False,
        prune_head_dims=True,
    )
    pruner.step()
    _repair(model, heads)
    info["seconds"] = round(time.perf_counter() - start, 3)
    return model


def _repair(model: nn.Module, heads: dict[nn.Module, int]) -> None:
    """Static attributes that forward reads, as in Torch-Pruning's own timm and Hugging Face examples."""
    for module in model.modules():
        for name in ("qkv", "q_proj", "query", "q", "q_lin"):
            layer = getattr(module, name, None)
            if layer not in heads:
                continue
            width = layer.out_features // (3 if name == "qkv" else 1)
            for attribute in ("head_dim", "attention_head_size", "d_head"):
                if hasattr(module, attribute):
                    setattr(module, attribute, width // heads[layer])
            for attribute in ("all_head_size", "attn_dim", "embed_dim", "inner_dim"):
                if isinstance(getattr(module, attribute, None), int):
                    setattr(module, attribute, width)
