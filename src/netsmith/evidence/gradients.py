"""How the loss answers to each weight: one gradient a batch, in memory that does not grow with the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F

from ..data.running import eval_mode
from ..errors import EvidenceError, InputError
from ..wiring import Wiring, call_model
from .batches import device_of, examples_in, labelled_batches
from .divergence import first_output, is_class_scores
from .masks import Mask, mask_of
from .stepping import raises
from .weights import Weights

Loss = Callable[[Any, Any], torch.Tensor]
Progress = Callable[[int, int, str], None]


def gradients(
    wiring: Wiring,
    data: Iterable[Any],
    loss: Loss | None = None,
    *,
    mask: Mask | None = None,
    most_examples: int = 512,
    most_bytes: int = 2**31,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Weights, ...]:
    """∂loss/∂w of every parameter that lies on an axis that may change, one batch after the other.

    Without a loss no labels are needed: they are drawn from the model's own predictions (of class scores by their
    softmax, of anything else with Gaussian noise). Such gradients have mean zero and are independent between examples,
    so the square of a batch's gradient estimates the diagonal of the Fisher matrix, divided by the batch size.

    Args:
        wiring: of the model, from ``trace``.
        data: batches, each ``x`` or ``(x, y)``.
        loss: ``(output, y) -> scalar``, a mean over the batch; ``output`` is the model's output, or its ``.logits``
            where it has such. None: as above, labels are not looked at.
        mask: without a loss, inputs -> (examples, positions), false or 0 where padding is: these predictions do not
            count.
        most_examples: examples used at most.
        most_bytes: of gradients that are kept. When more batches come than fit, several share one mean gradient.
        seed: of the labels that are drawn.
        progress: called with (batches done, batches in all as far as the data says, "gradients").

    Returns:
        Gradients in float32, each as ``Weights``. A parameter that the loss does not depend on has gradient zero.

    Raises:
        InputError: data is no iterable, options out of range, or the loss is not one number.
        EvidenceError: empty data, values or gradients that are not finite, a forward or loss that raises, or no
            gradient at all.

    Source: drawn labels make it the Fisher matrix and not the "empirical" one: Kunstner et al., NeurIPS 2019,
    arXiv:1905.12558.
    """
    if not isinstance(wiring, Wiring):
        raise InputError(f"wiring is a {type(wiring).__name__}; give what trace(model, example_inputs) returns")
    if loss is not None and not callable(loss):
        raise InputError(f"loss={loss!r} is not callable; a loss is a function (output, y) -> scalar")
    names = list(dict.fromkeys(m.tensor for axis in wiring.free_axes for m in axis.members if m.trainable))
    tensors = [wiring.tensors[name] for name in names]
    places = max(1, most_bytes // max(4 * sum(t.numel() for t in tensors), 1))
    sums: list[list[torch.Tensor]] = []
    counts: list[int] = []
    generator = torch.Generator().manual_seed(seed)
    total = len(data) if isinstance(data, Sized) else 0
    model = wiring.model
    with _undisturbed(tensors), eval_mode(model), torch.inference_mode(False), torch.enable_grad():
        batches = labelled_batches(data, most_examples=most_examples, device=device_of(model))
        for number, (inputs, labels) in enumerate(batches):
            value = loss_of(wiring, inputs, labels, loss, mask, generator)
            each = _gradients(value, tensors, names, number)
            count = examples_in(inputs)
            if number < places:
                sums.append([gradient * count for gradient in each])
                counts.append(count)
            else:
                place = number % places
                for held, gradient in zip(sums[place], each, strict=True):
                    held.add_(gradient, alpha=count)
                counts[place] += count
            if progress:
                progress(number + 1, max(total, number + 1), "gradients")
    return tuple(
        Weights({name: held.div_(count) for name, held in zip(names, kept, strict=True)})
        for kept, count in zip(sums, counts, strict=True)
    )


def loss_of(
    wiring: Wiring, inputs: Any, labels: Any, loss: Loss | None, mask: Mask | None, generator: torch.Generator
) -> torch.Tensor:
    """The model's loss on one batch, as ``gradients`` takes it; raises as that does."""
    try:
        out = call_model(wiring.model, inputs)
    except Exception as error:  # the model's own code
        raise raises("forward", inputs, error) from error
    if loss is None:
        return _own_loss(first_output(out), mask_of(mask, inputs), generator)
    try:
        value = loss(getattr(out, "logits", out), labels)
    except Exception as error:  # the caller's own code
        raise EvidenceError(
            f"the loss raises on a batch of the data: {type(error).__name__}: {str(error)[:300]}\n"
            "It is called with (output, y); give batches (x, y) with labels that it takes, or no loss."
        ) from error
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        got = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        raise InputError(f"the loss returned {got}, expected one number, a mean over the batch")
    return value


def _own_loss(output: torch.Tensor, counted: torch.Tensor | None, generator: torch.Generator) -> torch.Tensor:
    """Towards a label drawn from what the model itself predicts."""
    output = output.float()
    if is_class_scores(output):
        rows = output.reshape(-1, output.shape[-1])  # (examples · positions, classes)
        if counted is not None and counted.numel() == len(rows):
            rows = rows[counted.flatten()]
        chances = rows.detach().softmax(-1).cpu()
        if not bool(chances.isfinite().all()):
            raise EvidenceError("the model's outputs are NaN or infinity on a batch of the data; mend the model first")
        if not len(rows):  # nothing but padding
            return output.sum() * 0
        return F.cross_entropy(rows, torch.multinomial(chances, 1, generator=generator)[:, 0].to(rows.device))
    noise = torch.randn(output.shape, generator=generator).to(output.device)
    spread = output.detach().square().mean().sqrt().clamp_min(1e-12)
    return (output * noise).sum() / (spread * max(output.shape[0] if output.dim() else 1, 1))


def _gradients(
    value: torch.Tensor, tensors: Sequence[torch.Tensor], names: Sequence[str], number: int
) -> list[torch.Tensor]:
    if not tensors:
        return []
    if not value.requires_grad:
        raise EvidenceError(
            "the loss does not depend on any parameter of a free axis: forward runs under no_grad, detaches what it "
            "computes, or the loss does. Such a model has no gradients; choose a score that needs none."
        )
    try:
        found = torch.autograd.grad(value, tensors, allow_unused=True)
    except RuntimeError as error:
        raise EvidenceError(f"the loss of batch {number} cannot be differentiated: {str(error)[:300]}") from error
    if all(g is None for g in found):
        raise EvidenceError(
            f"the loss of batch {number} depends on no parameter of a free axis; choose a score that needs no gradients"
        )
    each = [
        torch.zeros_like(t, dtype=torch.float32) if g is None else g.float()
        for g, t in zip(found, tensors, strict=True)
    ]
    bad = [name for name, gradient in zip(names, each, strict=True) if not bool(gradient.isfinite().all())]
    if bad:
        raise EvidenceError(
            f"batch {number} of data gives gradients that are not finite (NaN or infinity): {', '.join(bad[:8])}. "
            "Run the model in float32 or bfloat16, or mend the loss"
        )
    return each


@contextmanager
def _undisturbed(tensors: Sequence[torch.Tensor]) -> Iterator[None]:
    """What needs a gradient, and what the caller's program draws at random, is afterwards as it was."""
    devices = sorted({t.get_device() for t in tensors if t.is_cuda})
    with torch.random.fork_rng(devices=devices), differentiable(tensors):
        yield


@contextmanager
def differentiable(tensors: Sequence[torch.Tensor]) -> Iterator[None]:
    """While it is open, these tensors need a gradient; afterwards those that did before."""
    before = [tensor.requires_grad for tensor in tensors]
    try:
        for tensor in tensors:
            tensor.requires_grad_(True)
        yield
    finally:
        for tensor, needed in zip(tensors, before, strict=True):
            tensor.requires_grad_(needed)
