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
    words = "removed"

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

    @property
    def modules(self) -> tuple[str, ...]:
        """Paths of the modules that go."""
        return (self.block,)


BlockEdit = RemoveBlock | RemoveBranch | ReplaceBlock
Edit = ResizeAxis | BlockEdit
