"""One training loop for everything here that trains: fine-tuning and distillation differ only in their loss."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..data.running import describe, device_of, each_batch, to_device
from ..errors import InputError, ModelError

Objective = Callable[[nn.Module, Any, Any], Tensor]
"""(model in train mode, x, y or None) -> scalar loss."""

Progress = Callable[[int, int, dict[str, float]], None]
"""(steps done, steps in all, {"loss", "lr", "epoch"})."""


def train(
    model: nn.Module,
    data: Iterable[Any],
    objective: Objective,
    *,
    epochs: int,
    lr: float,
    optimizer: str = "sgd",
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    warmup: float = 0.1,
    clip: float | None = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> nn.Module:
    """Train a copy of the model; the given one stays as it is.

    The learning rate climbs linearly to ``lr`` over the first ``warmup`` of all steps and falls to zero along a
    cosine. Weight decay spares vectors (biases, normalization scales). Parameters that need no gradient stay fixed.

    Args:
        model: any module.
        data: batches ``x`` or ``(x, y)`` (see ``data.running``) that can be iterated once an epoch.
        objective: what to minimise.
        epochs: passes over the data, ≥ 1.
        lr: peak learning rate, > 0.
        optimizer: "sgd" (Nesterov momentum) or "adamw"; ``momentum`` is for "sgd" alone.
        weight_decay: ≥ 0; decoupled with "adamw".
        warmup: share of the steps in [0, 1).
        clip: largest norm of all gradients together; None: as they are.
        seed: of dropout and of shuffling by a DataLoader. The caller's random state and the loader's are restored
            afterwards. Random numbers that the data draws from numpy or ``random`` are the caller's.
        progress: called after every step.

    Returns:
        The trained copy, in eval mode.

    Raises:
        InputError: empty data, a one-shot iterator, options out of range, a batch the model cannot take, or a loss
            that is not finite: the message names the step and what to lower.
        ModelError: nothing to train, weights that are not finite, or a model that cannot be copied.

    Source: the cosine schedule is Loshchilov & Hutter, ICLR 2017, arXiv:1608.03983.
    """
    _check_options(epochs=epochs, lr=lr, optimizer=optimizer, weight_decay=weight_decay, warmup=warmup, clip=clip)
    result = _trainable_copy(model)
    device = device_of(result)
    with _seeded(seed, device, data):
        per_epoch = _count(data)
        total = epochs * per_epoch
        descent = _optimizer(result, optimizer, lr, momentum, weight_decay)
        result.train()
        step = 0
        for epoch in range(epochs):
            for x, y in each_batch(data):
                rate = lr * schedule(step, total, warmup)
                for group in descent.param_groups:
                    group["lr"] = rate
                loss = objective(result, to_device(x, device), to_device(y, device))
                value = _checked(loss, x, step + 1, total, epoch + 1, lr)
                descent.zero_grad()
                loss.backward()
                if clip is not None:
                    nn.utils.clip_grad_norm_(result.parameters(), clip)
                descent.step()
                step += 1
                if progress is not None:
                    progress(step, max(step, total), {"loss": value, "lr": rate, "epoch": epoch + 1})
        descent.zero_grad()
    _check_finite(result, f"after training with lr={lr:g}; lower lr (try {lr / 10:g})")
    return result.eval()


def schedule(step: int, total: int, warmup: float) -> float:
    """Share of the peak learning rate at a step in 0..total-1: linear up, cosine down."""
    rising = math.ceil(warmup * total)
    if step < rising:
        return (step + 1) / rising
    done = min(1.0, (step - rising) / max(1, total - rising))
    return 0.5 * (1 + math.cos(math.pi * done))


def _check_options(
    *, epochs: int, lr: float, optimizer: str, weight_decay: float, warmup: float, clip: float | None
) -> None:
    if epochs < 1:
        raise InputError(f"epochs must be at least 1, not {epochs}")
    if not (math.isfinite(lr) and lr > 0):
        raise InputError(f"lr must be a positive number, not {lr}")
    if optimizer not in ("sgd", "adamw"):
        raise InputError(f"optimizer={optimizer!r} is unknown; there are 'sgd' and 'adamw'")
    if weight_decay < 0:
        raise InputError(f"weight_decay must be 0 or more, not {weight_decay}")
    if not 0 <= warmup < 1:
        raise InputError(f"warmup is a share of all steps in [0, 1), not {warmup}")
    if clip is not None and not clip > 0:
        raise InputError(f"clip must be positive or None, not {clip}")


def _trainable_copy(model: nn.Module) -> nn.Module:
    if not any(p.requires_grad for p in model.parameters()):
        raise ModelError(
            f"{type(model).__name__} has no parameter that requires a gradient; call model.requires_grad_()"
        )
    _check_finite(model, "before training; load a sound checkpoint")
    try:
        return copy.deepcopy(model)
    except Exception as error:  # deepcopy runs the model's own code
        raise ModelError(f"{type(model).__name__} cannot be copied: {type(error).__name__}: {error}") from error


def _check_finite(model: nn.Module, when: str) -> None:
    bad = [name for name, p in model.named_parameters() if not bool(p.detach().isfinite().all())]
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise ModelError(f"{bad[0]}{more} holds NaN or infinite weights {when}")


def _count(data: Iterable[Any]) -> int:
    """Batches of one pass, counted where the data cannot say."""
    if isinstance(data, Iterator):
        raise InputError(
            "the data can be iterated only once (it is a generator or iterator), but every epoch needs a pass; "
            "give a DataLoader, or a list: list(data)"
        )
    if isinstance(data, Sized):
        try:
            return len(data)
        except TypeError:  # a DataLoader over an iterable data set has __len__ but cannot answer
            pass
    return sum(1 for _ in each_batch(data))


def _optimizer(model: nn.Module, name: str, lr: float, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr)
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=momentum > 0)


def _checked(loss: Any, x: Any, step: int, total: int, epoch: int, lr: float) -> float:
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise InputError(f"the loss must be a single number, not {describe(loss)}; average over the batch")
    if not loss.requires_grad:
        raise InputError(
            "the loss does not depend on any parameter that is trained; check forward and the loss function"
        )
    value = float(loss.detach())
    if not math.isfinite(value):
        tensors = [x] if isinstance(x, Tensor) else list(x.values() if isinstance(x, Mapping) else x)
        if any(isinstance(t, Tensor) and not bool(t.isfinite().all()) for t in tensors):
            raise InputError(
                f"the batch of step {step} of {total} (epoch {epoch}) holds NaN or infinite inputs; mend the data"
            )
        raise InputError(
            f"the loss is {value} at step {step} of {total} (epoch {epoch}); lower lr={lr:g} (try {lr / 10:g}), "
            "or clip the gradients more tightly: clip=0.1"
        )
    return value


@contextmanager
def _seeded(seed: int, device: torch.device, data: Any) -> Iterator[None]:
    """Seed torch, and the loader's own generator; put both back afterwards, also after an error."""
    generator = data.generator if isinstance(data, DataLoader) else None
    state = None if generator is None else generator.get_state()
    cuda = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=cuda):
            # Not torch.manual_seed: that would also reseed devices that are not put back.
            torch.default_generator.manual_seed(seed)
            if cuda:
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            if generator is not None:
                generator.manual_seed(seed)
            yield
    finally:
        if generator is not None:
            generator.set_state(state)
