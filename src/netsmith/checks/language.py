"""Loss and perplexity of what a model scores at each position, or for each example."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..data.running import call, each_batch, eval_mode, logits
from ..errors import InputError, ModelError

IGNORED = -100  # a label that does not count, as in torch's cross-entropy


def perplexity(model: nn.Module, batches: Iterable[Any]) -> dict[str, float]:
    """How surprised a model is by the right answers.

    Args:
        model: returns scores (N, T, V) or (N, C), or an object that has them as ``.logits``. Runs in eval mode without
            gradients; its modes are restored.
        batches: (x, y), y of integers (N, T) or (N,): the right answer at each position, -100 where none counts. Or x
            alone, tokens (N, T) or a dict with ``input_ids``: then each position is to say the next token, where
            ``attention_mask`` is not 0.

    Returns:
        {"perplexity": e to the loss, "loss": mean cross-entropy of all answers, in nats}; lower is better.

    Raises:
        InputError: no batch, or scores and labels that do not fit. ModelError: scores that are not finite.
    """
    total, count = 0.0, 0
    with eval_mode(model), torch.no_grad():
        for x, y in each_batch(batches):
            scores = logits(call(model, x)).float().cpu()
            if not bool(scores.isfinite().all()):
                raise ModelError("the model returns NaN or infinite scores; its perplexity would mean nothing")
            if y is None:
                scores, y = scores[:, :-1], _next_tokens(x)
            if not isinstance(y, Tensor) or y.shape != scores.shape[:-1] or y.is_floating_point():
                raise InputError(
                    f"perplexity compares scores (N, T, V) with integers (N, T), not scores {tuple(scores.shape)} "
                    f"with {f'labels {tuple(y.shape)} {y.dtype}' if isinstance(y, Tensor) else type(y).__name__}"
                )
            wanted = y.cpu().flatten()
            total += float(cross_entropy(scores.flatten(0, -2), wanted, ignore_index=IGNORED, reduction="sum"))
            count += int((wanted != IGNORED).sum())
    if not count:
        raise InputError("there is no answer to measure perplexity on: every label is -100")
    return {"perplexity": math.exp(min(total / count, 700.0)), "loss": total / count}


def _next_tokens(x: Any) -> Tensor:
    tokens = x.get("input_ids") if isinstance(x, Mapping) else x
    if not isinstance(tokens, Tensor) or tokens.ndim != 2 or tokens.is_floating_point():
        raise InputError(
            "without labels, perplexity is that of the next token; give tokens (N, T), a dict with input_ids, or (x, y)"
        )
    mask = x.get("attention_mask") if isinstance(x, Mapping) else None
    wanted = tokens[:, 1:].long().cpu()
    return wanted if mask is None else wanted.masked_fill(mask[:, 1:].cpu() == 0, IGNORED)
