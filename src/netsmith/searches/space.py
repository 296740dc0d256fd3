"""What a search may change: menus of widths, blocks and precisions, found on the wiring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from ..errors import InputError, UnknownNameError
from ..plans import RemoveBlock, ReplaceBlock
from ..plans.protection import protected_axes
from ..plans.removal import check_options
from ..plans.sizing import changeable_axes, solve
from ..scores import magnitude
from ..wiring import Axis, Wiring
from .candidates import candidates, map_candidates
from .measure import sizes_at
from .together import axes_together

SCHEMES = ("int8", "int4", "dynamic-int8")
OPERATORS = ("linear", "conv2d", "channels")


@dataclass(frozen=True)
class Space:
    """What may change.

    Attributes:
        widths: whether axes may get narrower.
        depth: whether residual blocks may go.
        operators: affine maps that may take a residual block's place: "linear" (of features), "conv2d" (1 × 1, of
            channels), "channels" (a factor and a constant for each channel), each where forward allows it.
        growth: factors > 1 by which axes may get wider, e.g. ``(1.5, 2.0)``; without change of the outputs, so that it
            takes healing to be worth anything.
        precision: ways to store weights that are tried beside floats: "int8", "int4", "dynamic-int8".
        only: name patterns: nothing but axes that only matching tensors or modules make, and matching blocks.
        ignore: name patterns, as in ``plan_removal``; also of blocks.
        round_to: widths become multiples of this; None: any width.
        steps: widths a menu, evenly spread over the full width, ≥ 2.
        cut: "inside" or "whole", as in ``plan_removal``.

    Raises:
        InputError: nothing may change, or a value out of range.
    """

    widths: bool = True
    depth: bool = False
    operators: tuple[str, ...] = ()
    growth: tuple[float, ...] = ()
    precision: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    round_to: int | None = None
    steps: int = 16
    cut: Literal["inside", "whole"] = "inside"

    def __post_init__(self) -> None:
        for name in ("operators", "growth", "precision", "only", "ignore"):
            value = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise InputError(f"Space: {name}={value!r} must be a tuple; give e.g. {name}=({value!r},)")
            object.__setattr__(self, name, tuple(value))
        if not (self.widths or self.depth or self.operators or self.growth or self.precision):
            raise InputError("the space is empty; allow one of widths, depth, operators, growth and precision")
        wrong = [g for g in self.growth if isinstance(g, bool) or not isinstance(g, (int, float)) or not 1 < g <= 8]
        if wrong:
            raise InputError(f"Space: growth={wrong[0]!r} is no factor in (1, 8]; give e.g. growth=(1.5, 2.0)")
        for name, known in (("operators", OPERATORS), ("precision", SCHEMES)):
            unknown = [given for given in getattr(self, name) if given not in known]
            if unknown:
                raise InputError(f"Space: {name}={unknown[0]!r} is unknown; there are {', '.join(known)}")
        if not isinstance(self.steps, int) or isinstance(self.steps, bool) or self.steps < 2:
            raise InputError(f"Space: steps={self.steps!r} must be an int ≥ 2")


@dataclass(frozen=True)
class Menu:
    """Widths of axes that change together.

    Attributes:
        axes: names; widths are those of the first, the others follow in proportion.
        full: the present width.
        widths: to choose from, the present one among them, widest first.
    """

    axes: tuple[str, ...]
    full: int
    widths: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.axes[0]

    def nearest(self, width: float) -> int:
        """The offered width nearest to this one; of two the wider."""
        return min(self.widths, key=lambda offered: (abs(offered - width), -offered))


@dataclass(frozen=True)
class Menus:
    """All that a candidate chooses from.

    Attributes:
        widths: one for each axis, or set of axes that only change together.
        blocks: choice -> the edit that makes it: under a block's own name it goes, under "layer1.0 as conv2d" such a
            map takes its place.
        precisions: schemes beside floats.
        left: axis or block -> why it is not offered.
    """

    widths: tuple[Menu, ...]
    blocks: Mapping[str, RemoveBlock | ReplaceBlock]
    precisions: tuple[str, ...]
    left: Mapping[str, str]

    def distinct(self, choices: Iterable[str]) -> tuple[str, ...]:
        """Of several choices for one block only the last."""
        return tuple({self.blocks[choice].block: choice for choice in choices}.values())

    def __str__(self) -> str:
        lines = [f"Menus: {len(self.widths)} widths, {len({e.block for e in self.blocks.values()})} blocks"]
        lines += [f"  {' + '.join(m.axes):<48} {' '.join(map(str, m.widths))}" for m in self.widths]
        lines += [f"  {n:<48} {'may go' if n == e.block else 'may be'}" for n, e in self.blocks.items()]
        lines += [f"  weights as {scheme}" for scheme in self.precisions]
        return "\n".join(lines)


def find_menus(wiring: Wiring, space: Space | None = None) -> Menus:
    """The menus of a model, found automatically and narrowed by the patterns of the space.

    Raises:
        InputError: no Wiring, no Space; or nothing in the model can change in the ways that the space allows.
        UnknownNameError: a pattern that matches nothing.

    Example:
        >>> print(find_menus(wiring, Space(depth=True, only=("layer4.*",))))  # doctest: +SKIP
    """
    space = Space() if space is None else space
    if not isinstance(space, Space):
        raise InputError(f"space is a {type(space).__name__}; give e.g. netsmith.searches.Space(depth=True)")
    check_options(wiring, magnitude, space.round_to, space.cut)
    blocks, kept = candidates(wiring)
    _check_patterns(wiring, space, blocks)
    left = dict(kept) if space.depth or space.operators else {}
    widths: list[Menu] = []
    if space.widths or space.growth:
        groups, unable = axes_together(wiring, offered_axes(wiring, space), space.round_to)
        left |= unable
        widths = [menu for group in groups if len((menu := _menu(wiring, space, group)).widths) > 1]
    offered = {b: edit for b, edit in blocks.items() if _chosen(b, space)}
    going: dict[str, RemoveBlock | ReplaceBlock] = dict(offered) if space.depth else {}
    for kind in dict.fromkeys(space.operators):
        going |= {f"{b} as {kind}": edit for b, edit in map_candidates(wiring, offered, kind).items()}
    if not widths and not going and not space.precision:
        some = "; ".join(f"{name}: {why}" for name, why in list(left.items())[:3])
        raise InputError(
            f"nothing in the model can change in the ways that the space allows{f' ({some})' * bool(some)}"
        )
    return Menus(tuple(widths), going, space.precision, left)


def offered_axes(wiring: Wiring, space: Space) -> list[str]:
    """Axes that may change width."""
    names = changeable_axes(wiring, protected_axes(wiring, space.ignore), space.cut)
    if not space.only:
        return names
    return [name for name in names if any(made_by(wiring.axis[name], pattern) for pattern in space.only)]


def made_by(axis: Axis, pattern: str) -> bool:
    """Whether the axis has a name like this, or all tensors that make it have, or lie in modules that have."""
    makers = [m.tensor for m in axis.members if m.role == "producer"]
    return (bool(makers) and all(_named(tensor, pattern) for tensor in makers)) or fnmatchcase(axis.name, pattern)


def _named(tensor: str, pattern: str) -> bool:
    """Whether the tensor, or a module in which it lies, has a name like this."""
    parts = tensor.split(".")
    return any(fnmatchcase(".".join(parts[: i + 1]), pattern) for i in range(len(parts)))


def _menu(wiring: Wiring, space: Space, group: tuple[str, ...]) -> Menu:
    full = wiring.sizes[group[0]]
    shares = [k / space.steps for k in range(space.steps)] if space.widths else []
    found = {full}
    for share in shares:
        found.add(solve(wiring, sizes_at(wiring, group, share, space.round_to)).sizes[group[0]])
    for factor in space.growth:
        step = full if any(wiring.axis[name].statistics for name in group) else wiring.axis[group[0]].multiple_of
        found.add(-(-round(full * factor) // step) * step)
    return Menu(group, full, tuple(sorted(found, reverse=True)))


def _chosen(block: str, space: Space) -> bool:
    wanted = not space.only or any(fnmatchcase(block, p) or fnmatchcase(p, f"{block}.*") for p in space.only)
    return wanted and not any(fnmatchcase(block, p) for p in space.ignore)


def _check_patterns(wiring: Wiring, space: Space, blocks: Iterable[str]) -> None:
    for pattern in space.only:
        if not isinstance(pattern, str):
            raise InputError(f"only={pattern!r} is no name pattern; give strings such as 'layer4.*'")
        names = [*blocks, *(axis.name for axis in wiring.axes)]
        if any(fnmatchcase(name, pattern) for name in names) or any(_named(name, pattern) for name in wiring.tensors):
            continue
        near = ", ".join(repr(axis.name) for axis in wiring.free_axes[:4])
        raise UnknownNameError(f"only={pattern!r} matches no axis and no block; axes are named like {near}")
