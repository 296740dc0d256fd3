"""The affine map nearest to what a block does, in closed form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from ..evidence import Moments, ridge
from ..plans import ReplaceBlock
from ..wiring import Transition, call_model
from ..wiring.recorder import tensors_in

_STRENGTH = 1e-2  # of the ridge towards the identity, as a share of the mean input variance
_MOST_ROWS = 2**16  # positions used, of all batches


@dataclass(frozen=True)
class Bridge:
    """A map in a block's place.

    Attributes:
        edit: that puts it there.
        weight: (outputs, width · kernel²), or (width,) for one factor a channel.
        bias: (outputs,).
    """

    edit: ReplaceBlock
    weight: torch.Tensor
    bias: torch.Tensor

    def function(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weight.to(x), self.bias.to(x)
        if self.edit.kind == "linear":
            return x @ weight.T + bias
        constant = bias.reshape(1, -1, 1, 1)
        if self.edit.kind == "channels":
            return x * weight.reshape(1, -1, 1, 1) + constant
        kernel = weight.unflatten(1, (self.edit.width, self.edit.kernel, self.edit.kernel))
        return nn.functional.conv2d(x, kernel, bias, stride=self.edit.stride)

    @torch.no_grad()
    def put(self, module: nn.Module) -> None:
        """Give the module that the edit put in place these values."""
        weight, bias = module.get_parameter("weight"), module.get_parameter("bias")
        weight.copy_(self.weight.reshape(weight.shape))
        bias.copy_(self.bias)


def bridges(model: nn.Module, path: str, block: str, batches: Sequence[Any]) -> Iterator[Bridge]:
    """Ridge regressions, anchored at the identity, of a block's first output on its first input.

    Args:
        model: in eval mode.
        path: of the block in this model.
        block: its name for the edits.
        batches: inputs.
    """
    x, y = _rows(model, path, batches)
    width, images = x.shape[-1], x.dim() == 4
    x, y = _some(x.reshape(-1, width), y.reshape(-1, width))
    if images:
        yield _fitted(ReplaceBlock(block, "channels", width), x.unsqueeze(2), y.unsqueeze(2))
    kind: Literal["conv2d", "linear"] = "conv2d" if images else "linear"
    yield _fitted(ReplaceBlock(block, kind, width), x.unsqueeze(1), y.unsqueeze(1))


def projections(model: nn.Module, path: str, transition: Transition, batches: Sequence[Any]) -> Iterator[Bridge]:
    """Ridge regressions of a shape-changing block's output on its input: at every stride-th position, and on whole
    patches of stride × stride positions where these tile the image.

    Args:
        model: in eval mode.
        path: of the block in this model.
        transition: the block, by its name for the edits.
        batches: inputs.
    """
    x, y = _rows(model, path, batches)
    if x.dim() != 4:  # batches of several sizes
        return
    x, y = x.movedim(-1, 1), y.flatten(0, 2)  # (N, C, H, W), (positions, outputs)
    stride = transition.stride
    for kernel in dict.fromkeys((1, stride)):
        if kernel > 1 and any(size % kernel for size in x.shape[2:]):
            continue
        rows = nn.functional.unfold(x, kernel, stride=stride).transpose(1, 2).flatten(0, 1)
        edit = ReplaceBlock(transition.name, "conv2d", transition.inputs, transition.outputs, stride, kernel)
        yield _fitted(edit, *(t.unsqueeze(1) for t in _some(rows, y)), towards_identity=False)


def _some(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows, at random where there are too many."""
    if len(x) <= _MOST_ROWS:
        return x, y
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:_MOST_ROWS].to(x.device)
    return x[chosen], y[chosen]


def _fitted(edit: ReplaceBlock, x: torch.Tensor, y: torch.Tensor, *, towards_identity: bool = True) -> Bridge:
    """x: (rows, groups, inputs a group), y: (rows, groups, outputs a group)."""
    _, groups, units = x.shape
    moments = Moments(groups, units, y.shape[2], x.device)
    moments.add(x, y)
    covariance, cross = moments.centred()
    anchor = torch.zeros_like(cross)
    if towards_identity:
        anchor.diagonal(dim1=1, dim2=2).fill_(1)
    weight = ridge(covariance, cross, anchor, _STRENGTH)  # (groups, inputs, outputs)
    bias = moments.intercepts(weight)
    return Bridge(edit, weight.flatten() if groups > 1 else weight[0].T.contiguous(), bias.flatten())


@torch.no_grad()
def _rows(model: nn.Module, path: str, batches: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """The block's first input and output in all batches, features last."""
    seen: list[list[torch.Tensor]] = [[], []]

    def features_last(tensor: torch.Tensor) -> torch.Tensor:
        return (tensor.movedim(1, -1) if tensor.dim() == 4 else tensor).detach().clone()

    def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:
        seen[0].append(features_last(tensors_in((args, kwargs))[0]))

    def leave(module: nn.Module, args: tuple, kwargs: dict, out: Any) -> None:
        seen[1].append(features_last(tensors_in(out)[0]))

    module = model.get_submodule(path)
    handles = [
        module.register_forward_pre_hook(enter, with_kwargs=True),
        module.register_forward_hook(leave, with_kwargs=True),
    ]
    try:
        for inputs in batches:
            call_model(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return _joined(seen[0]), _joined(seen[1])


def _joined(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Batches of one shape end to end; of several shapes as plain rows."""
    if len({t.shape[1:] for t in tensors}) == 1:
        return torch.cat(tensors)
    return torch.cat([t.reshape(-1, t.shape[-1]) for t in tensors])
