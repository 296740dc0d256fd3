"""The closed set of structural changes. An edit says what changes; ``surgery`` does it, ``checks`` proves it."""

from dataclasses import dataclass


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


Edit = ResizeAxis
