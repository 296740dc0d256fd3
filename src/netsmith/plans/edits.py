"""The closed set of structural changes. An edit says what changes; ``surgery`` does it, ``checks`` proves it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ResizeAxis:
    """Remove units of one axis.

    Promise: the edited model equals the original with the removed units' weights set to zero. Where the original
    takes a statistic over the axis (``statistics`` is not empty), it does so with that statistic held fixed.

    Attributes:
        axis: name of the axis in the wiring that the plan was made from.
        size: units before the edit, ≥ 1.
        keep: the units that stay, ascending, each in ``range(size)``; never empty.
        statistics: calls that normalize or average over the axis, in words ("layer_norm in blocks.0.norm1").
    """

    axis: str
    size: int
    keep: tuple[int, ...]
    statistics: tuple[str, ...] = ()


@dataclass(frozen=True)
class RemoveBlock:
    """Take a block out.

    Promise: the edited model equals the original in which the block returns its first input.

    Attributes:
        block: module path in the model that the plan was made for.
        delete: delete the item from its ``nn.Sequential`` or ``nn.ModuleList``, so that later items move up; False:
            ``nn.Identity()`` takes its place.
        lists: attributes that hold a list with one entry an item, from which the item's entry goes too, by key
            (":config.layer_types").
    """

    block: str
    delete: bool = True
    lists: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReplaceBlock:
    """Put a plain affine map in a block's place: ``nn.Linear``, or ``nn.Conv2d`` with a 1×1 kernel.

    Promise: the edited model equals the original in which the block returns that map of its first input. As planned the
    map is the identity; fitted values are listed as refitted.

    Attributes:
        block: module path in the model that the plan was made for.
        kind: "linear" maps the last dimension, "conv2d" the second of four, "channels" scales and shifts each channel
            of the second of four.
        width: inputs and outputs of the map, ≥ 1.
    """

    block: str
    kind: Literal["linear", "conv2d", "channels"]
    width: int


@dataclass(frozen=True)
class SetPrecision:
    """Store a weight as integers with scales: value = integer · scale.

    Promise: what is stored are the original's values, clipped and rounded to the nearest multiple of their scale;
    ``verify`` states how far the outputs are from the original's.

    Attributes:
        tensor: name of the weight.
        use: the function that reads it.
        bits: of an integer, 8 or 4; integers are -2^(bits-1) ... 2^(bits-1) - 1.
        group: how many inputs (positions of dimension 1) of one output share a scale; 0: all.
        clip: how the clipping threshold is found, a key of ``netsmith.evidence.clipping.CLIPPING``.
        dynamic: inputs are rounded to 8 bits as well, with one scale a row found while running; linear layers only.
    """

    tensor: str
    use: Literal["linear", "embedding", "conv2d"]
    bits: Literal[8, 4]
    group: int = 0
    clip: Literal["max", "percentile", "mse", "kl"] = "max"
    dynamic: bool = False


@dataclass(frozen=True)
class Sparsify:
    """Set single weights of a tensor to zero.

    Promise: the edited model equals the original with these weights at zero; all other weights are the same bits.

    Attributes:
        tensor: name of the weight.
        shape: of it.
        zeros: one bit a weight, row-major, eight to a byte, the first in the highest bit; 1: becomes zero.
        pattern: "2:4" where two of four neighbours along the inputs stay; None without a pattern.
    """

    tensor: str
    shape: tuple[int, ...]
    zeros: bytes
    pattern: str | None = None


BlockEdit = RemoveBlock | ReplaceBlock
Edit = ResizeAxis | RemoveBlock | ReplaceBlock | SetPrecision | Sparsify
