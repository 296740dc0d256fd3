"""Functions that move along positions and leave channels alone: pooling, resizing, padding, windows."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .. import spaces
from ..recorder import Call, Dims, constants


def _spatial(rank: int) -> Callable[[Call], Dims | list[Dims]]:
    def rule(call: Call) -> Dims | list[Dims]:
        """The last dimensions are mixed; the others pass."""
        dims = call.dims(call.tensors()[0])
        n = rank or call.outputs()[0].dim() - 2
        call.freeze(dims[-n:], f"{call.name} slides along it")
        outs = [dims[:-n] + constants(out, f"positions after {call.name}")[-n:] for out in call.outputs()]
        return outs[0] if isinstance(call.out, torch.Tensor) else outs

    return rule


def sampled(call: Call) -> Dims:
    """grid_sample(x, grid): the grid (batch, *positions, coordinates) says where each result is read."""
    dims, grid = call.dims(call.args[0]), call.dims(call.args[1])
    call.freeze(dims[2:], f"{call.name} reads it by position")
    call.freeze(grid[-1], "coordinates")
    spaces.unify(dims[0], grid[0])
    return [*dims[:2], *grid[1:-1]]


def region_pooling(call: Call) -> Dims:
    """torchvision's roi_align(x, boxes, ...): channels pass, each box (image, four coordinates) gives one result."""
    dims, boxes = call.dims(call.arg(0, "input")), call.dims(call.arg(1, "rois"))
    call.freeze([dims[0], *dims[2:]], f"{call.name} reads it by position")
    call.freeze(boxes[1], "coordinates")
    return [boxes[0], dims[1], *constants(call.out, f"positions after {call.name}")[2:]]


def pixel_shuffle(call: Call) -> Dims:
    dims, factor = call.dims(call.args[0]), int(call.arg(1, "upscale_factor"))
    channels = spaces.new(int(call.out.shape[-3]))
    spaces.unify(dims[-3], channels + spaces.new(factor * factor, "sub-pixels of pixel_shuffle"))
    call.freeze(dims[-2:], "pixel_shuffle spreads it")
    return [*dims[:-3], channels, *constants(call.out, "positions after pixel_shuffle")[-2:]]


def pixel_unshuffle(call: Call) -> Dims:
    dims, factor = call.dims(call.args[0]), int(call.arg(1, "downscale_factor"))
    call.freeze(dims[-2:], "pixel_unshuffle folds it")
    channels = dims[-3] + spaces.new(factor * factor, "sub-pixels of pixel_unshuffle")
    return [*dims[:-3], channels, *constants(call.out, "positions after pixel_unshuffle")[-2:]]


def pad(call: Call) -> Dims:
    """Padding lays constant units before and after a dimension (option-A shortcuts pad channels so)."""
    dims, amounts = list(call.dims(call.arg(0, "input"))), list(call.arg(1, "pad"))
    reflected = call.name == "pad" and call.arg(2, "mode", "constant") != "constant"
    out = list(dims)
    for j in range(len(amounts) // 2):
        i, before, after = len(dims) - 1 - j, int(amounts[2 * j]), int(amounts[2 * j + 1])
        if before == 0 and after == 0:
            continue
        if spaces.is_frozen(dims[i]) or before < 0 or after < 0 or reflected:
            call.freeze(dims[i], "cropped, or padded with its own units")
            out[i] = spaces.new(int(call.out.shape[i]), "padded positions")
        else:
            padding = [[spaces.Space(n, "units added by padding")] if n else None for n in (before, after)]
            out[i] = spaces.concat([p for p in (padding[0], dims[i], padding[1]) if p is not None])
    return out


def windows(call: Call) -> Dims:
    """``Tensor.unfold(dim, size, step)`` and ``F.unfold`` (im2col)."""
    dims = call.dims(call.arg(0, "input"))
    if call.name == "unfold" and isinstance(call.arg(1), int) and call.out.dim() == len(dims) + 1:
        i = int(call.arg(1)) % len(dims)
        call.freeze(dims[i], "cut into windows")
        out = constants(call.out, "windows")
        return [*dims[:i], out[i], *dims[i + 1 :], out[-1]]
    call.freeze(dims[-2:], "cut into windows")
    inside = spaces.new(int(call.out.shape[-2]) // spaces.size_of(dims[-3]), "positions in a window")
    return [*dims[:-3], dims[-3] + inside, constants(call.out, "windows")[-1]]


def fold(call: Call) -> Dims:
    dims = call.dims(call.arg(0, "input"))
    channels = spaces.new(int(call.out.shape[-3]))
    call.freeze(dims[-1], "windows are folded")
    inside = spaces.new(spaces.size_of(dims[-2]) // int(call.out.shape[-3]), "positions in a window")
    spaces.unify(dims[-2], channels + inside)
    return [*dims[:-2], channels, *constants(call.out, "positions after fold")[-2:]]


_POOLS = "max_pool avg_pool adaptive_avg_pool adaptive_max_pool lp_pool fractional_max_pool"
RULES = {f"{name}{n}d": _spatial(n) for name in _POOLS.split() for n in (1, 2, 3)}
RULES |= {f"max_pool{n}d_with_indices": _spatial(n) for n in (1, 2, 3)}
RULES |= {f"adaptive_max_pool{n}d_with_indices": _spatial(n) for n in (1, 2, 3)}
_RESIZE = """
upsample_nearest1d:1 upsample_linear1d:1 upsample_nearest2d:2 upsample_bilinear2d:2 upsample_bicubic2d:2
_upsample_bicubic2d_aa:2 _upsample_bilinear2d_aa:2 _upsample_nearest_exact1d:1 _upsample_nearest_exact2d:2
upsample_trilinear3d:3 upsample_nearest3d:3 interpolate:0
"""
RULES |= {entry.split(":")[0]: _spatial(int(entry.split(":")[1])) for entry in _RESIZE.split()}
RULES |= {"grid_sampler": sampled, "grid_sampler_2d": sampled, "grid_sampler_3d": sampled}
RULES["roi_align"] = region_pooling
RULES |= {"pixel_shuffle": pixel_shuffle, "pixel_unshuffle": pixel_unshuffle, "pad": pad, "constant_pad_nd": pad}
RULES |= {"unfold": windows, "im2col": windows, "fold": fold, "col2im": fold}
