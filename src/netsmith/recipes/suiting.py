"""Which shipped recipe suits a model: seen from what it is given, what it gives, and how it is wired."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..data.running import eval_mode, logits
from ..errors import BudgetError, InputError
from ..plans import Budget, plan_removal
from ..searches.candidates import candidates
from ..wiring import Wiring, call_model, trace

Kind = Literal["cnn_classifier", "vit", "bert_encoder", "small_llm", "speech"]
KINDS: tuple[Kind, ...] = ("cnn_classifier", "vit", "bert_encoder", "small_llm", "speech")
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)  # of MACs, the smallest first that can be reached
_SAMPLES = 4000  # so many numbers in a row are a recording


@dataclass(frozen=True)
class Suiting:
    """What a recipe for a model needs.

    Attributes:
        kind: name of the shipped recipe.
        blocks: to cut: about a sixth of those that can be, 0 where there are few.
        macs: share to prune to; None where the axes that may change cannot reach any in ``SHARES``.
        metric: "accuracy", "perplexity", or None where the outputs are no scores.
    """

    kind: Kind
    blocks: int
    macs: float | None
    metric: str | None


def suiting(model: nn.Module, example_inputs: Any, kind: str | None = None) -> Suiting:
    """Look at a model.

    Args:
        model: in any mode; not changed.
        example_inputs: one call's inputs.
        kind: of the recipe, where the caller knows better.

    Raises:
        CaptureError, ModelError: the model cannot be read. InputError: no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise InputError(f"there is no shipped recipe {kind!r}; there are {', '.join(KINDS)}")
    wiring = trace(model, example_inputs)
    with eval_mode(model), torch.no_grad():
        scores = _scores(call_model(model, example_inputs))
        found = kind or _kind(wiring, example_inputs, scores)
    able = len(candidates(wiring)[0])
    metric = None if scores is None else "accuracy" if scores.ndim == 2 else "perplexity" if scores.ndim == 3 else None
    return Suiting(found, able // 6 or int(able >= 4), _share(wiring), metric)


def _kind(wiring: Wiring, example_inputs: Any, scores: Tensor | None) -> Kind:
    first = next(_tensors(example_inputs))
    if not first.is_floating_point():
        return (
            "small_llm"
            if scores is not None and _looks_back_only(wiring.model, example_inputs, scores)
            else "bert_encoder"
        )
    if first.ndim == 4:
        return "vit" if _attends(wiring) else "cnn_classifier"
    return "speech" if first.ndim == 3 or first.shape[-1] >= _SAMPLES else "cnn_classifier"


def _attends(wiring: Wiring) -> bool:
    """Attention is a softmax that something else is computed from."""
    names = [call.name for call in wiring.calls]
    return any("attention" in name for name in names) or any("softmax" in name for name in names[:-2])


def _looks_back_only(model: nn.Module, example_inputs: Any, scores: Tensor) -> bool:
    """Whether what stands at the last position changes nothing that the model says before it."""
    tokens = next(_tensors(example_inputs))
    if scores.ndim != 3 or tokens.ndim != 2 or scores.shape[1] != tokens.shape[1] or tokens.shape[1] < 2:
        return False
    other = tokens.clone()
    other[:, -1] = (other[:, -1] + 1) % max(2, int(tokens.max()) + 1)
    changed = _scores(call_model(model, _with(example_inputs, tokens, other)))
    return changed is not None and torch.allclose(changed[:, :-1], scores[:, :-1], atol=1e-4)


def _scores(output: Any) -> Tensor | None:
    try:
        return logits(output)
    except InputError:
        return None


def _share(wiring: Wiring) -> float | None:
    for share in SHARES:
        try:
            plan_removal(wiring, budget=Budget(macs=share))
        except BudgetError:
            continue
        return share
    return None


def _tensors(inputs: Any) -> Iterator[Tensor]:
    if isinstance(inputs, Tensor):
        yield inputs
    elif isinstance(inputs, Mapping | tuple | list):
        for value in inputs.values() if isinstance(inputs, Mapping) else inputs:
            yield from _tensors(value)


def _with(inputs: Any, old: Tensor, new: Tensor) -> Any:
    """The same inputs with another tensor in the place of one."""
    if isinstance(inputs, Mapping):
        return {key: _with(value, old, new) for key, value in inputs.items()}
    if isinstance(inputs, tuple | list):
        return tuple(_with(value, old, new) for value in inputs)
    return new if inputs is old else inputs
