"""Images laid out in memory as convolutions on processors like them: channels last.

A convolution gives its result in the layout of its input, so the inputs decide for the whole forward. With few channels
on large maps, forwards take half the time or less (ResNet-56), with many about the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..data.running import eval_mode
from ..wiring import call_model
from ..wiring.inputs import map_tensors
from ..wiring.recorder import tensors_in


def channels_last(model: nn.Module, batches: Sequence[Any]) -> list[Any]:
    """The same batches with images (examples, channels, height, width) laid out channels last, where forward agrees.

    Where a forward of the first batch does not run (it calls ``view`` on what a convolution gave), or gives other
    values, and on other devices than the processor, the batches stay as they are.
    """
    as_given = list(batches)
    if not batches or not any(_is_images(t) for t in tensors_in(batches[0])):
        return as_given
    with eval_mode(model), torch.no_grad(), torch.random.fork_rng(devices=[]):
        state = torch.get_rng_state()
        try:
            wanted = tensors_in(call_model(model, batches[0]))
            torch.set_rng_state(state)
            found = tensors_in(call_model(model, _laid_out(batches[0])))
        except Exception:  # the model's own code; what it says of the batches as they are, those who run it will tell
            return as_given
    same = len(wanted) == len(found) and all(map(_agree, wanted, found))
    return [_laid_out(batch) for batch in batches] if same else as_given


def _is_images(tensor: torch.Tensor) -> bool:
    return tensor.dim() == 4 and tensor.is_floating_point() and tensor.device.type == "cpu"


def _laid_out(batch: Any) -> Any:
    return map_tensors(batch, lambda t: t.contiguous(memory_format=torch.channels_last) if _is_images(t) else t)


def _agree(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-3, atol=1e-4 * _scale(one), equal_nan=True)


def _scale(tensor: torch.Tensor) -> float:
    return float(tensor.detach().abs().max()) if tensor.is_floating_point() and tensor.numel() else 0.0
