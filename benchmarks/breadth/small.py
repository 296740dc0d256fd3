"""Small configurations of any transformers model, by the names of their attributes; nothing here knows a model."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

_VOCABULARY = 256
_LAYERS = re.compile(r"(^|_)(num_|n_)?(hidden_|encoder_|decoder_|attention_)*(layers?|blocks|depth)$|^num_.*_layers$")
_HEADS = re.compile(r"(^|_)(n_heads?|num_heads|attention_heads|num_attention_heads|n_head)$")
_WIDTH = re.compile(
    r"(^|_)(hidden_size|d_model|n_embd|dim|embed_dim|hidden_dim|embedding_size|embedding_dim|projection_dim|model_dim|"
    r"word_embed_proj_dim|width|attention_hidden_size|proj_size|out_hidden_size|fpn_hidden_size|mask_feature_size)$"
)
_INNER = re.compile(r"(^|_)(intermediate_size|ffn_dim|d_ff|n_inner|mlp_dim|ffn_hidden_size|feedforward_dim|inner_dim)$")
_HEAD_WIDTH = re.compile(r"(^|_)(head_dim|d_kv|key_value_size|attention_head_size|d_head|v_head_dim|qk_nope_head_dim)$")
_RANK = re.compile(r"(^|_)lora_rank$|lora_dim$|low_rank_dim$")
_EXPERTS = re.compile(r"(^|_)(num_experts|num_local_experts|n_routed_experts|moe_num_experts)$")
_POSITIONS = re.compile(r"(^|_)(max_position_embeddings|n_positions|max_target_positions|max_seq_len|seq_length)$")
_SEQUENCES = re.compile(r"(^|_)(depths|layers|num_blocks|depth)$")
_WIDTHS = re.compile(r"(^|_)(hidden_sizes|embed_dims?|widths|dims|channels|out_channels|decoder_hidden_sizes)$")
_TOKENS = re.compile(r"_(token_id|token_index|token|id|index)$")


def small_configs(config_class: type) -> Iterator[Any]:
    """Configurations to try, best first: fixed small widths, the model's own ratios, few layers only."""
    for level in ("fixed", "ratio", "layers"):
        try:
            config = config_class(**_shrunk(config_class(), level))
        except Exception:
            continue
        for part in _parts(config):
            if hasattr(part, "use_cache"):
                part.use_cache = False
        yield config


def _parts(config: Any) -> Iterator[Any]:
    yield config
    for name in getattr(config, "sub_configs", {}):
        part = getattr(config, name, None)
        if part is not None and hasattr(part, "to_dict"):
            yield from _parts(part)


def _shrunk(config: Any, level: str) -> dict[str, Any]:
    """Arguments of the configuration's constructor that differ from the default."""
    out: dict[str, Any] = {}
    tokens = 3
    names = inspect.signature(type(config).__init__).parameters
    for name in names:
        value = getattr(config, name, None)
        if name in getattr(config, "sub_configs", {}) and hasattr(value, "to_dict"):
            out[name] = {"model_type": value.model_type, **_shrunk(value, level)}
        elif type(value) is int and _TOKENS.search(name) and value >= 3:
            out[name] = tokens = tokens + 1
        elif type(value) is int and value > 1:
            out[name] = _number(name, value, level)
        elif isinstance(value, (list, tuple)) and value and all(type(v) is int for v in value):
            out[name] = type(value)(_entries(name, list(value), level))
        elif isinstance(value, (list, tuple)) and len(value) == getattr(config, "num_hidden_layers", -1):
            continue  # one entry for each layer: the constructor makes it again
        if name in out and out[name] == value and not isinstance(value, dict):
            del out[name]
    _fit_heads(out, config)
    return out


def _number(name: str, value: int, level: str) -> int:
    if "vocab" in name and name.endswith("size"):
        return min(value, _VOCABULARY)
    if _LAYERS.search(name):
        return min(value, 2)
    if level == "layers":
        return value
    if _EXPERTS.search(name):
        return min(value, 4)
    if name in ("num_experts_per_tok", "top_k", "moe_k", "num_selected_experts", "moe_topk"):
        return min(value, 2)
    if name in ("n_group", "topk_group"):
        return 1
    if _POSITIONS.search(name):
        return min(value, 128)
    if name in ("image_size", "img_size"):
        return min(value, 224)
    if level == "ratio":
        wide = any(p.search(name) for p in (_WIDTH, _INNER, _HEAD_WIDTH, _RANK)) and value >= 64
        return max(value // 8, 8) if wide else value
    if _HEADS.search(name):
        return min(value, 4)
    if name.endswith(("key_value_heads", "kv_heads")):
        return min(value, 2)
    if _HEAD_WIDTH.search(name):
        return min(value, 16)
    if _INNER.search(name):
        return min(value, 96)
    if _WIDTH.search(name):
        return min(value, 64)
    return min(value, 32) if _RANK.search(name) else value


def _entries(name: str, values: list[int], level: str) -> list[int]:
    if _SEQUENCES.search(name):
        return [min(v, 2) for v in values]
    if _WIDTHS.search(name) and level != "layers" and min(values) >= 32:
        return [max(v // 4, 8) for v in values]
    return values


def _fit_heads(out: dict[str, Any], config: Any) -> None:
    """A scalar width beside a list of head counts (Swin) must divide by the first of them."""
    for name in ("num_heads", "num_attention_heads"):
        heads = getattr(config, name, None)
        if isinstance(heads, (list, tuple)) and heads and type(heads[0]) is int and "embed_dim" in out:
            if type(out["embed_dim"]) is int:
                out["embed_dim"] = 16 * heads[0]
