"""What a linear or convolution call multiplies its weight with, as rows."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .stepping import Stop

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
REFITTABLE = ("linear", "addmm", *CONVOLUTIONS)


def _argument(stop: Stop, position: int, name: str, default: object = None) -> object:
    return stop.args[position] if position < len(stop.args) else stop.kwargs.get(name, default)


def groups_of(stop: Stop) -> int:
    return int(_argument(stop, 6, "groups", 1)) if stop.name in CONVOLUTIONS else 1  # type: ignore[call-overload]


def row_count(output: torch.Tensor, name: str) -> int:
    """How many rows a call's output has: positions of all examples."""
    channels = output.shape[1] if name in CONVOLUTIONS else output.shape[-1]
    return output.numel() // max(int(channels), 1)


def output_rows(output: torch.Tensor, name: str, rows: torch.Tensor, groups: int) -> torch.Tensor:
    """(rows, groups, outputs per group) of an output, at the chosen positions."""
    channels_last = output.movedim(1, -1) if name in CONVOLUTIONS else output
    flat = channels_last.reshape(-1, channels_last.shape[-1])[rows]
    return flat.reshape(len(rows), groups, -1)


def input_rows(stop: Stop, rows: torch.Tensor) -> torch.Tensor:
    """(rows, groups, inputs per group): what the weight of each chosen output position is multiplied with.

    For a convolution the inputs are the unfolded patch, channel-major, as in ``weight.flatten(1)``.
    """
    if stop.name == "linear":
        x = _argument(stop, 0, "input")
        assert isinstance(x, torch.Tensor)
        return x.reshape(-1, x.shape[-1])[rows].unsqueeze(1)
    if stop.name == "addmm":
        x = _argument(stop, 1, "mat1")
        assert isinstance(x, torch.Tensor)
        return x[rows].unsqueeze(1)
    return _patches(stop, rows)


def _patches(stop: Stop, rows: torch.Tensor) -> torch.Tensor:
    x, weight = _argument(stop, 0, "input"), _argument(stop, 1, "weight")
    assert isinstance(x, torch.Tensor) and isinstance(weight, torch.Tensor)
    kernel = weight.shape[2:]
    rank = len(kernel)
    stride, dilation = _each(_argument(stop, 3, "stride", 1), rank), _each(_argument(stop, 5, "dilation", 1), rank)
    padding = _argument(stop, 4, "padding", 0)
    spans = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
    if padding == "same":
        sides = [(span // 2, span - span // 2) for span in spans]
    else:
        sides = [(p, p) for p in (_each(padding, rank) if padding != "valid" else [0] * rank)]
    x = F.pad(x, [amount for side in reversed(sides) for amount in side])
    examples, channels, *sizes = x.shape
    positions = [(n - span - 1) // step + 1 for n, span, step in zip(sizes, spans, stride, strict=True)]
    index = torch.unravel_index(rows, (examples, *positions))
    # Where a patch begins among all positions of the padded input, and how far its others lie behind that.
    first, behind = index[0], rows.new_zeros(1)
    for size, at, k, step, spread in zip(sizes, index[1:], kernel, stride, dilation, strict=True):
        first = first * size + at * step
        behind = (behind[:, None] * size + torch.arange(k, device=rows.device) * spread).flatten()
    # All channels of a position lie side by side: they are copied as one piece.
    pieces = x.movedim(1, -1).reshape(-1, channels).index_select(0, (first[:, None] + behind).flatten())
    chosen = pieces.reshape(len(rows), -1, channels).transpose(1, 2)  # (rows, channels, positions of the kernel)
    return chosen.reshape(len(rows), groups_of(stop), -1)


def _each(value: object, rank: int) -> list[int]:
    if isinstance(value, (tuple, list)):
        return [int(v) for v in value] * (rank if len(value) == 1 else 1)
    return [int(value)] * rank  # type: ignore[call-overload]


def weight_matrix(weight: torch.Tensor, name: str, groups: int) -> torch.Tensor:
    """The weight as (groups, inputs per group, outputs per group)."""
    if name == "addmm":
        return weight.unsqueeze(0)
    flat = weight.flatten(1)  # (outputs, inputs per group)
    return flat.reshape(groups, -1, flat.shape[1]).transpose(1, 2)


def matrix_weight(matrix: torch.Tensor, like: torch.Tensor, name: str) -> torch.Tensor:
    """The inverse of ``weight_matrix``: a tensor shaped and typed as ``like``."""
    if name == "addmm":
        return matrix[0].to(like)
    return matrix.transpose(1, 2).reshape(like.shape).to(like)
