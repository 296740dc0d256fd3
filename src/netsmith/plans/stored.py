"""Integer weights as torchao's tensors, which linear layers, embeddings and convolutions can read."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..costs.quiet import quiet_torchao
from ..errors import missing_extra
from .edits import SetPrecision
from .integers import Integers, integers_of


def stored(weight: torch.Tensor, edit: SetPrecision, integers: Integers | None = None) -> nn.Parameter:
    """A parameter that stores the weight as the edit says.

    Args:
        weight: the floats; may be on ``meta``, then what is returned is there too.
        edit: bits, groups, clipping.
        integers: to store instead of the nearest ones.

    Raises:
        MissingExtraError: torchao is absent.
    """
    need_torchao()
    from torchao.quantization.granularity import PerRow
    from torchao.quantization.quantize_.workflows.int8.int8_tensor import Int8Tensor, QuantizeTensorToInt8Kwargs
    from torchao.quantization.quantize_.workflows.intx.intx_unpacked_to_int8_tensor import IntxUnpackedToInt8Tensor

    found = integers or integers_of(weight, edit)
    block = list(found.block)
    tensor: Any
    if edit.use == "conv2d":
        zero = torch.zeros_like(found.scale, dtype=torch.int8)
        kind = getattr(torch, f"int{edit.bits}")
        tensor = IntxUnpackedToInt8Tensor(found.values, found.scale, zero, kind, tuple(block), weight.dtype, None)
    else:
        inputs = QuantizeTensorToInt8Kwargs(granularity=PerRow()) if edit.dynamic else None
        tensor = Int8Tensor(found.values, found.scale, block, weight.dtype, act_quant_kwargs=inputs)
    return nn.Parameter(tensor, requires_grad=False)


def need_torchao() -> None:
    """Raise MissingExtraError unless torchao is installed."""
    try:
        with quiet_torchao():
            import torchao.quantization  # noqa: F401
    except ImportError as error:
        raise missing_extra("torchao", "quant", "quantization") from error


def set_precisions(model: nn.Module, edits: tuple[SetPrecision, ...]) -> None:
    """Store weights of a model of one's own as integers, in place; tied places stay tied."""
    from ..wiring.slots import tensor_slots

    by_name = {edit.tensor: edit for edit in edits}
    slots = list(tensor_slots(model))
    made = {id(s.tensor): stored(s.tensor, by_name[s.name]) for s in slots if s.name in by_name}
    for slot in slots:
        if id(slot.tensor) in made:
            slot.holder[slot.key] = made[id(slot.tensor)]
