"""The small Llama of this benchmark: characters of tinyshakespeare, training, perplexity."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

CONTEXT = 128
STEPS, BATCH = 900, 16


@dataclass(frozen=True)
class Text:
    """Characters as class numbers, split by position: the first 80 % to train, 10 % to validate, the last 10 % to test.

    Attributes:
        alphabet: the characters, in the order of their numbers.
    """

    train: Tensor
    validation: Tensor
    test: Tensor
    alphabet: tuple[str, ...]


def read(path: Path) -> Text:
    text = path.read_text()
    alphabet = tuple(sorted(set(text)))
    number = {character: i for i, character in enumerate(alphabet)}
    tokens = torch.tensor([number[character] for character in text])
    first, second = int(0.8 * len(tokens)), int(0.9 * len(tokens))
    return Text(tokens[:first], tokens[first:second], tokens[second:], alphabet)


def windows(tokens: Tensor, count: int, seed: int) -> Tensor:
    """(count, CONTEXT) consecutive characters from random places."""
    starts = torch.randint(len(tokens) - CONTEXT + 1, (count,), generator=torch.Generator().manual_seed(seed))
    return torch.stack([tokens[i : i + CONTEXT] for i in starts.tolist()])


def build(classes: int) -> LlamaForCausalLM:
    """6 layers of width 192: 8 heads that share 4 pairs of keys and values, 576 gated feed-forward units."""
    config = LlamaConfig(
        vocab_size=classes,
        hidden_size=192,
        intermediate_size=576,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=4 * CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    return LlamaForCausalLM(config)


def trained(text: Text, cache: Path, seed: int = 0) -> LlamaForCausalLM:
    """The network, from the cache folder or trained now: a quarter of an hour on one thread.

    Matrices of the decoder by Muon, all else by AdamW.
    """
    torch.manual_seed(seed)
    model = build(len(text.alphabet))
    file = cache / f"llama-{STEPS}-{seed}.safetensors"
    if file.exists():
        load_model(model, file)
        return model.eval()
    inner = [p for p in model.model.layers.parameters() if p.ndim == 2]
    outer = [p for p in model.parameters() if all(p is not other for other in inner)]
    optimizers = [
        torch.optim.Muon(inner, lr=0.02, weight_decay=0.05),
        torch.optim.AdamW(outer, lr=3e-3, weight_decay=0.0),
    ]
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, _rate) for o in optimizers]
    start = time.perf_counter()
    for step in range(STEPS):
        batch = windows(text.train, BATCH, seed=seed * STEPS + step)
        loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        if step % 50 == 49:
            print(f"step {step + 1}: {loss.item():.3f} nats, {time.perf_counter() - start:.0f} s", flush=True)
    cache.mkdir(parents=True, exist_ok=True)
    save_model(model, file)
    return model.eval()


def _rate(step: int) -> float:
    """Learning rate as a share of the greatest: a short rise, then half a cosine."""
    rise = STEPS // 20
    return (step + 1) / rise if step < rise else 0.5 + 0.5 * math.cos(math.pi * (step - rise) / (STEPS - rise))


def whole_windows(tokens: Tensor, every: int) -> Sequence[Tensor]:
    """Batches of 32 windows: of those that follow each other without overlap, every so manieth."""
    return tokens[: len(tokens) // CONTEXT * CONTEXT].view(-1, CONTEXT)[::every].split(32)


@torch.no_grad()
def predictions(model: nn.Module, held_out: Sequence[Tensor]) -> Tensor:
    """(characters, classes): log-probabilities of each character from those before it in its window."""
    each = [model(input_ids=batch, use_cache=False).logits[:, :-1].log_softmax(-1) for batch in held_out]
    return torch.cat(each).flatten(0, 1)


def perplexity(predicted: Tensor, held_out: Sequence[Tensor]) -> float:
    """exp of the mean nats per *character*."""
    return math.exp(float(nn.functional.nll_loss(predicted, torch.cat(list(held_out))[:, 1:].flatten())))


def divergence(original: Tensor, predicted: Tensor) -> float:
    """Mean KL(original ‖ predicted) in nats per character."""
    return float((original.exp() * (original - predicted)).sum(-1).mean())
