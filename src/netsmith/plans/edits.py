"""The closed set of structural changes. An edit says what changes; ``surgery`` does it, ``checks`` proves it."""

from collections.abc import Collection
from dataclasses import dataclass
from math import prod
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

    def __str__(self) -> str:
        note = f"   up to {', '.join(self.statistics[:2])}" if self.statistics else ""
        return f"{self.axis:<48} {self.size:>6} -> {len(self.keep):<6}{note}"


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

    @property
    def words(self) -> str:
        """What became of it, for people."""
        return "removed"

    def __str__(self) -> str:
        return f"{self.block:<48} {self.words}"

    @property
    def modules(self) -> tuple[str, ...]:
        """Paths of the modules that go."""
        return (self.block,)


@dataclass(frozen=True)
class RemoveBranch:
    """Drop what a module, or several in a row, add to a stream: each is replaced by one that returns zeros at once.

    Promise: the edited model equals the original in which the branch's result is zero.

    Attributes:
        block: path, in the model that the plan was made for, of the module whose result is added; the last of
        modules: paths of all, in call order; each but the last only feeds the next.
        returns: for each module 0 where it returns a tensor, n where it returns a tuple of n that begins with one; the
            others are then None.
    """

    block: str
    modules: tuple[str, ...]
    returns: tuple[int, ...]
    words = "zeros"

    def __str__(self) -> str:
        return f"{self.block:<48} {self.words}"


@dataclass(frozen=True)
class MergeBlocks(RemoveBlock):
    """Take a block out, and combine its weights with those of an equal block before it.

    Promise: the edited model equals the original in which the block returns its first input, and ``into`` has the
    combined weights. Values fitted afterwards are listed as refitted.

    Attributes:
        into: module path of the block that takes over; its tensors have the same names and shapes.
        how: "average" of the weights of all blocks merged into one; "differences": of each later block's weights from
            the first one's, added to it (buffers are averaged); "first": the first one's as they are.

    Source: "differences" is LaCo, Yang et al. 2024, arXiv:2402.11187.
    """

    into: str = ""
    how: Literal["average", "differences", "first"] = "average"

    @property
    def words(self) -> str:
        """What became of it, for people."""
        return f"merged into {self.into} ({self.how})"


@dataclass(frozen=True)
class ReplaceBlock:
    """Put a plain affine map in a block's place: ``nn.Linear``, or ``nn.Conv2d`` whose kernel is its stride at most.

    Promise: the edited model equals the original in which the block returns that map of its first input. As planned the
    map is the identity, as far as the widths allow (the mean over a kernel's positions); fitted values are listed as
    refitted.

    Attributes:
        block: module path in the model that the plan was made for.
        kind: "linear" maps the last dimension, "conv2d" the second of four, "channels" scales and shifts each channel
            of the second of four.
        width: inputs of the map, ≥ 1.
        outputs: of the map; None: as many as inputs. Only "conv2d" may have others.
        stride, kernel: of "conv2d", in both directions.
    """

    block: str
    kind: Literal["linear", "conv2d", "channels"]
    width: int
    outputs: int | None = None
    stride: int = 1
    kernel: int = 1

    @property
    def keeps_shape(self) -> bool:
        """Whether what comes out has the shape of what goes in."""
        return self.outputs in (None, self.width) and self.stride == self.kernel == 1

    @property
    def words(self) -> str:
        """What is there now, for people."""
        return f"an affine map ({self.kind})"

    def __str__(self) -> str:
        return f"{self.block:<48} {self.words}"

    @property
    def modules(self) -> tuple[str, ...]:
        """Paths of the modules that go."""
        return (self.block,)


@dataclass(frozen=True)
class WidenAxis:
    """Copy units of one axis, and share out among the copies what reads them.

    Promise: the edited model gives the original's outputs, up to rounding.

    Attributes:
        axis: name of the axis in the wiring that the plan was made from.
        size: units before the edit, ≥ 1.
        source: for each unit after the edit the unit that it is a copy of, each of ``range(size)`` at least once.
        share: for each unit after the edit a weight in (0, 1]; those of the copies of one unit add up to 1. Uneven, so
            that training can tell copies apart.
        divided: (tensor, dimension) of the parameters that are multiplied by the shares; the others are copied.

    Source: Chen et al., ICLR 2016, arXiv:1511.05641 (Net2Net).
    """

    axis: str
    size: int
    source: tuple[int, ...]
    share: tuple[float, ...]
    divided: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        return f"{self.axis:<48} {self.size:>6} -> {len(self.source):<6}"


@dataclass(frozen=True)
class InsertBlock:
    """Put a copy of a block behind it whose own part is zero, so that it returns its input.

    Promise: the edited model gives the original's outputs, up to rounding.

    Attributes:
        block: module path of the item of an ``nn.Sequential`` or ``nn.ModuleList`` in the model that the plan was made
            for; the copy becomes the next item, and later items move back by one.
        zeros: parameters of the copy, by their names inside it, that are set to zero.
        lists: attributes that hold a list with one entry an item, in which the item's entry is repeated, by key.
        numbers: attributes of the copy with another value than the block's, (key inside it, value).

    Source: Goyal et al. 2017, arXiv:1706.02677 (zero last scale); Chen et al., ICLR 2016, arXiv:1511.05641 (deepening).
    """

    block: str
    zeros: tuple[str, ...]
    lists: tuple[str, ...] = ()
    numbers: tuple[tuple[str, int], ...] = ()

    words = "a copy of it behind it, silent at first"

    def __str__(self) -> str:
        return f"{self.block:<48} a copy of it behind it"

    @property
    def modules(self) -> tuple[str, ...]:
        """Path of the block."""
        return (self.block,)


@dataclass(frozen=True)
class InsertIdentity:
    """Put a new layer behind an item that ends in a rectifier: an identity kernel, and that rectifier again.

    It is an ``nn.Sequential`` of ``nn.Linear`` or ``nn.Conv...`` (a Dirac kernel, no bias yet), an ``nn.BatchNorm...``
    that is an identity in eval mode, and ``nn.ReLU`` or ``nn.Hardtanh``, unless forward calls its own behind each item.

    Promise: the edited model gives the original's outputs in eval mode, up to rounding. In train mode an inserted batch
    normalization takes the statistics of the batch, as those of the network do, and is no identity.

    Attributes:
        block: module path of the item of an ``nn.Sequential`` or ``nn.ModuleList`` in the model that the plan was made
            for; the layer becomes the next item, and later items move back by one.
        kind: of the layer.
        width: its inputs and outputs, ≥ 1.
        like: a parameter of the model with ``width`` entries in its first dimension, whose dtype and device it takes.
        kernel: of a convolution, odd, in each direction; padded so that the size stays. None of "linear".
        norm: epsilon of the batch normalization; None: there is none.
        limits: least and largest value of the rectifier; None: it is ReLU.
        rectified: the layer has the rectifier; False: forward calls one behind each item of the ``nn.ModuleList``.

    Source: Chen et al., ICLR 2016, arXiv:1511.05641 (Net2DeeperNet).
    """

    block: str
    kind: Literal["linear", "conv1d", "conv2d", "conv3d"]
    width: int
    like: str
    kernel: tuple[int, ...] = ()
    norm: float | None = None
    limits: tuple[float, float] | None = None
    rectified: bool = True

    @property
    def words(self) -> str:
        """What was inserted, for people."""
        kernel = f" {'x'.join(map(str, self.kernel))}" if self.kernel else ""
        return f"an identity behind it ({self.kind}{kernel}{', batch_norm' * (self.norm is not None)})"

    def __str__(self) -> str:
        return f"{self.block:<48} {self.words}"

    @property
    def modules(self) -> tuple[str, ...]:
        """Path of the item."""
        return (self.block,)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the new parameters, inside what is inserted."""
        own = ("0.weight", "0.bias")
        return own if self.norm is None else (*own, "1.weight", "1.bias")


@dataclass(frozen=True)
class FuseLayers:
    """Let one layer compute what layers in a row, or the parallel branches of one block, compute together.

    Promise: the edited model's outputs equal the original's, in eval mode. Weights are computed in float64 from the
    original's and rounded once. A layer whose kernel keeps its shape keeps its class and gets the new values; else an
    ``nn.Linear`` or ``nn.Conv...`` takes its place, with ``then`` behind it in an ``nn.Sequential``. The others become
    ``nn.Identity()``, or what comes of ``then``.

    Attributes:
        layers: module paths in the order in which they run, each reading what the one before returns; one alone is a
            block of branches.
        into: the one that computes it all afterwards.
        shape: of the first layer's input, as traced.
        then: modules inside the last layer, in order, that run behind what is fused and stay: an activation.
    """

    layers: tuple[str, ...]
    into: str
    shape: tuple[int, ...]
    then: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.place:<48} computes what {', '.join(self.layers)} did"

    @property
    def modules(self) -> tuple[str, ...]:
        """Paths of the layers."""
        return self.layers

    @property
    def place(self) -> str:
        """Where the layer that computes it all stands afterwards."""
        return f"{self.into}.0" if self.then and self.into == self.layers[-1] else self.into

    def reads(self, tensors: Collection[str]) -> bool:
        """Whether the merged layer's values come from one of these tensors."""
        return any(name.startswith(f"{layer}.") for name in tensors for layer in self.layers)

    def renamed(self, name: str) -> str | None:
        """What becomes of a tensor's or module's name; None for what goes."""
        last = self.layers[-1]
        start = 1 if self.into == last else 0
        for i, path in enumerate(self.then):
            if name == path or name.startswith(f"{path}."):
                here = last if start + len(self.then) == 1 else f"{last}.{start + i}"
                return here + name.removeprefix(path)
        if any(name == layer or name.startswith(f"{layer}.") for layer in self.layers if layer != self.into):
            return None
        if name == self.into or name.startswith(f"{self.into}."):
            rest = name.removeprefix(self.into)
            return self.place + rest if rest in ("", ".weight", ".bias") else None
        return name


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

    def __str__(self) -> str:
        scales = f"a scale for {self.group} inputs" if self.group else "a scale an output"
        dynamic = ", dynamic" if self.dynamic else ""
        return f"{self.tensor:<48} int{self.bits}, {scales}, clipped by {self.clip}{dynamic}"


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

    def __str__(self) -> str:
        count = sum(byte.bit_count() for byte in self.zeros)
        pattern = f" {self.pattern}" if self.pattern else ""
        return f"{self.tensor:<48} {count:,} of {prod(self.shape):,} weights become zero{pattern}"


AxisEdit = ResizeAxis | WidenAxis
BlockEdit = RemoveBlock | RemoveBranch | ReplaceBlock
TensorEdit = SetPrecision | Sparsify
Insertion = InsertBlock | InsertIdentity
Edit = AxisEdit | BlockEdit | Insertion | FuseLayers | TensorEdit
