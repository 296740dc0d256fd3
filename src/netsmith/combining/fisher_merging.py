"""Fisher merging: an average in which each weight counts as much as its model's output depends on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..data.running import call, eval_mode, logits
from ..errors import EvidenceError, InputError, ModelError
from ..evidence import device_of, examples_in
from ..evidence.batches import labelled_batches
from ..wiring import tensor_slots
from .chunks import check_weights
from .merging_modules import check_alike, combined

_FLOOR = 1e-6  # what the paper gives weights on which nothing depends, so that they are averaged


def fisher(
    models: Sequence[nn.Module],
    importance: Sequence[Mapping[str, Tensor]],
    *,
    weights: Sequence[float] | None = None,
) -> nn.Module:
    """Σ λᵢ·Fᵢ·wᵢ / Σ λᵢ·Fᵢ, element by element.

    Args:
        models: of one structure; not changed.
        importance: of each, from ``fisher_importance``. Tensors without an entry are averaged.
        weights: λ of each; None: the same.

    Returns:
        A model like the first.

    Raises:
        InputError: another number of importances or weights than models, or an importance of another shape.
        ModelError: models of different structure.

    Source: Matena & Raffel, NeurIPS 2022, arXiv:2111.09832.
    """
    if not models or len(importance) != len(models):
        raise InputError(f"fisher: {len(models)} models, but {len(importance)} importances; give one each")
    shares = check_weights(weights if weights is not None else [1.0] * len(models), len(models))
    check_alike([{slot.name: slot for slot in tensor_slots(model)} for model in models])

    def combine(name: str, tensors: Sequence[Tensor]) -> Tensor:
        above = torch.zeros_like(tensors[0], dtype=torch.float64)
        below = torch.zeros_like(above)
        for tensor, known, share in zip(tensors, importance, shares, strict=True):
            each = known.get(name, torch.zeros_like(tensor)).to(tensor.device)
            if each.shape != tensor.shape:
                raise InputError(
                    f"fisher: the importance of {name} is {tuple(each.shape)}, the tensor {tuple(tensor.shape)}"
                )
            factor = share * (each.double() + _FLOOR)
            above += factor * tensor.double()
            below += factor
        return (above / below).to(tensors[0].dtype)

    return combined(models, combine)


def fisher_importance(
    model: nn.Module,
    data: Iterable[Any],
    *,
    loss: Callable[[Tensor, Any], Tensor] = cross_entropy,
    most_examples: int = 256,
) -> dict[str, Tensor]:
    """Diagonal of the empirical Fisher information: mean over examples of (∂L/∂w)².

    Args:
        model: any module that returns a tensor or an object with ``.logits``; not changed.
        data: labelled batches (x, y).
        loss: (outputs, labels) of one example -> scalar.
        most_examples: examples used at most; each takes a forward and a backward pass.

    Returns:
        Name of each parameter that takes gradients -> float32, of its shape, ≥ 0.

    Raises:
        EvidenceError: no data, or batches without labels.
        ModelError: nothing takes gradients.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise ModelError("fisher_importance: no parameter requires a gradient; call model.requires_grad_()")
    sums = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in trained.items()}
    seen = 0
    with eval_mode(model), torch.enable_grad():
        for inputs, labels in labelled_batches(data, most_examples=most_examples, device=device_of(model)):
            if labels is None:
                raise EvidenceError("fisher_importance needs labels; give batches (x, y)")
            for number in range(examples_in(inputs)):
                one, label = (_example(part, number) for part in (inputs, labels))
                value = loss(logits(call(model, one)), label)
                gradients = torch.autograd.grad(value, list(trained.values()), allow_unused=True)
                for name, gradient in zip(trained, gradients, strict=True):
                    if gradient is not None:
                        sums[name] += gradient.detach().float().square()
                seen += 1
    return {name: total / seen for name, total in sums.items()}


def _example(part: Any, number: int) -> Any:
    if isinstance(part, Tensor):
        return part[number : number + 1]
    if isinstance(part, Mapping):
        return {key: _example(value, number) for key, value in part.items()}
    return tuple(_example(value, number) for value in part)
