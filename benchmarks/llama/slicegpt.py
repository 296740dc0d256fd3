"""SliceGPT for Llama (Ashkboos et al., ICLR 2024, arXiv:2401.15024): the residual stream loses principal directions.

RMSNorm without its scale commutes with rotations. So the scales are folded into the layers behind, the stream before
each attention and each feed-forward part is rotated into its own principal components, and the last components are
deleted. Where the rotation changes, the shortcut needs a matrix of its own (width × width, two a block); it counts as a
parameter here as in the paper. Each part's components are found from the stream as the sliced parts before it leave it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM


class SlicedNorm(nn.Module):
    """RMSNorm without scale; the mean is over the original width, of which the deleted components were small parts."""

    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.width, self.epsilon = width, epsilon

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().sum(-1, keepdim=True) / self.width + self.epsilon)


class SlicedBlock(nn.Module):
    """A decoder block whose two shortcuts go through matrices."""

    def __init__(self, block: nn.Module, norm: SlicedNorm):
        super().__init__()
        self.self_attn, self.mlp, self.norm = block.self_attn, block.mlp, norm
        self.first = nn.Linear(norm.width, norm.width, bias=False)
        self.second = nn.Linear(norm.width, norm.width, bias=False)

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        branch, _ = self.self_attn(hidden_states=self.norm(hidden_states), **kwargs)
        hidden_states = self.first(hidden_states) + branch
        return self.second(hidden_states) + self.mlp(self.norm(hidden_states))


def folded(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """A copy that gives the same outputs with every RMSNorm scale at one."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for block in model.model.layers:
            for norm, readers in (
                (block.input_layernorm, (block.self_attn.q_proj, block.self_attn.k_proj, block.self_attn.v_proj)),
                (block.post_attention_layernorm, (block.mlp.gate_proj, block.mlp.up_proj)),
            ):
                for reader in readers:
                    reader.weight.mul_(norm.weight)
                norm.weight.fill_(1)
        model.lm_head.weight.mul_(model.model.norm.weight)
        model.model.norm.weight.fill_(1)
    return model


@torch.no_grad()
def sliced(model: LlamaForCausalLM, batches: Sequence[Tensor], width: int) -> LlamaForCausalLM:
    """SliceGPT with a rotation for each part; ``batches`` hold (examples, length) tokens."""
    model = folded(model)
    inner, epsilon = model.model, model.config.rms_norm_eps
    full = model.config.hidden_size
    norm = SlicedNorm(full, epsilon)
    states = [inner.embed_tokens(tokens) for tokens in batches]
    basis = _components(states, norm, width)
    _write(inner.embed_tokens, inner.embed_tokens.weight @ basis)
    states = [x @ basis for x in states]
    positions = torch.arange(batches[0].shape[1])[None]
    for number, block in enumerate(inner.layers):
        block = SlicedBlock(block, norm)
        inner.layers[number] = block
        attention, mlp = block.self_attn, block.mlp
        for reader in (attention.q_proj, attention.k_proj, attention.v_proj):
            _write(reader, reader.weight @ basis)
        rotary = inner.rotary_emb(states[0], position_ids=positions)
        branches = [
            attention(hidden_states=norm(x), position_embeddings=rotary, attention_mask=None)[0] for x in states
        ]
        states, basis = _next(block.first, attention.o_proj, states, branches, basis, norm, width)
        for reader in (mlp.gate_proj, mlp.up_proj):
            _write(reader, reader.weight @ basis)
        branches = [mlp(norm(x)) for x in states]
        states, basis = _next(block.second, mlp.down_proj, states, branches, basis, norm, width)
    inner.norm = norm
    _write(model.lm_head, model.lm_head.weight @ basis)
    model.config.hidden_size = width
    return model.eval()


@torch.no_grad()
def sliced_once(model: LlamaForCausalLM, batches: Sequence[Tensor], width: int) -> LlamaForCausalLM:
    """One rotation for the whole stream, so that the shortcuts need no matrices: an ordinary, narrower Llama."""
    model = folded(model)
    states: list[Tensor] = []
    for tokens in batches:
        out = model.model(tokens, use_cache=False, output_hidden_states=True)
        states += out.hidden_states[:-1]  # the last one is behind the norm
    full = model.config.hidden_size
    basis = _components(states, SlicedNorm(full, model.config.rms_norm_eps), width)
    _write(model.model.embed_tokens, model.model.embed_tokens.weight @ basis)
    scale = (full / width) ** 0.5  # the mean of squares is over fewer components now
    for block in model.model.layers:
        attention, mlp = block.self_attn, block.mlp
        for reader in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj):
            _write(reader, reader.weight @ basis * scale)
        for writer in (attention.o_proj, mlp.down_proj):
            _write(writer, basis.T @ writer.weight)
        for norm in (block.input_layernorm, block.post_attention_layernorm):
            norm.weight = nn.Parameter(torch.ones(width))
    model.model.norm.weight = nn.Parameter(torch.ones(width))
    _write(model.lm_head, model.lm_head.weight @ basis * scale)
    model.config.hidden_size = width
    return model.eval()


def _components(states: Sequence[Tensor], norm: SlicedNorm, width: int) -> Tensor:
    """(full width, width): eigenvectors of the normed stream's second moments, the largest first."""
    moments = torch.zeros(norm.width, norm.width, dtype=torch.float64)
    for x in states:
        rows = norm(x).flatten(0, 1)
        moments += (rows.T @ rows).double()
    return torch.linalg.eigh(moments).eigenvectors.flip(1)[:, :width].float()


def _next(
    shortcut: nn.Linear,
    writer: nn.Linear,
    states: list[Tensor],
    branches: list[Tensor],
    basis: Tensor,
    norm: SlicedNorm,
    width: int,
) -> tuple[list[Tensor], Tensor]:
    """Write the shortcut and the layer that ends the branch; returns the stream behind them and its basis."""
    whole = [x @ basis.T + b for x, b in zip(states, branches, strict=True)]
    following = _components(whole, norm, width)
    _write(writer, following.T @ writer.weight)
    _write(shortcut, following.T @ basis)
    return [x @ following for x in whole], following


def _write(layer: nn.Linear | nn.Embedding, weight: Tensor) -> None:
    layer.weight = nn.Parameter(weight.contiguous())
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = weight.shape
    else:
        layer.num_embeddings, layer.embedding_dim = weight.shape
