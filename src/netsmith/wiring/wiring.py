"""What hangs together in one model: its axes, its blocks, and what its forward demands of sizes.

A ``Wiring`` is plain data: after capture every dimension is a ``Layout`` over named axes, every demand an expression.
It keeps a reference to the model for scores and checks, and never changes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import nn

from ..errors import CaptureError
from .capture import capture
from .collector import no_collections
from .construction import Construction
from .layouts import Layout, unit_positions
from .lifetimes import Lifetimes
from .provenance import Expression
from .recorder import Origin


@dataclass(frozen=True)
class Member:
    """One dimension of one tensor in which an axis lies.

    Attributes:
        tensor: state-dict style name of a parameter or buffer.
        dim: which dimension, ≥ 0.
        role: "producer" (makes the axis), "consumer" (contracts it) or "pointwise" (scales or shifts it).
        trainable: the tensor is a parameter, not a buffer.
        layout, sizes: how the axis lies in the dimension.
    """

    tensor: str
    dim: int
    role: str
    trainable: bool
    layout: Layout = field(repr=False)
    sizes: Mapping[str, int] = field(repr=False, compare=False)
    axis: str = field(repr=False)

    @property
    def positions(self) -> list[list[int]]:
        """For each unit, its positions along the dimension."""
        return unit_positions(self.layout, self.sizes, self.axis)


@dataclass(frozen=True)
class Axis:
    """One index space that runs through many tensors.

    Attributes:
        name: after the tensor that makes it, "layer1.0.conv1.weight:0"; a factor or part gets a number, ":0.2".
        size: units, ≥ 1.
        frozen: None, or why no plan may change it.
        members: every dimension in which it lies.
        statistics: calls that normalize or average over it: removing units changes the statistic.
        pinned: units that forward reads by position; a plan must keep them.
        multiple_of: what a kernel wants the size to be a multiple of; 1 where it does not matter.
    """

    name: str
    size: int
    frozen: str | None
    members: tuple[Member, ...]
    statistics: tuple[str, ...] = ()
    pinned: tuple[int, ...] = ()
    multiple_of: int = 1


@dataclass(frozen=True)
class Block:
    """A part with the same axes in and out.

    Attributes:
        name: module path.
        kind: the module's class, for people.
        first_call, last_call: range of calls it spans, inclusive.
        params: parameter elements inside.
        entry: where its first input comes from.
        result: the call of its own that makes its first output.
        residual: its input reaches its output by a way on which there is no matrix, no kernel and no gate (a shortcut).
        kept: None, or why it cannot be taken out: something else that it computes is read behind it.
    """

    name: str
    kind: str
    first_call: int
    last_call: int
    params: int
    entry: Origin
    result: Origin
    residual: bool
    kept: str | None


@dataclass(frozen=True)
class Branch(Block):
    """What one or several modules in a row add to a stream: attention or feed-forward part of a layer.

    ``name`` is the last module's path, whose first output (``result``) is added; held at zero, it drops out of the sum.

    Attributes:
        modules: paths, in call order; each but the last only feeds the next.
        returns: for each module 0 where it returns a tensor, n where a tuple of n.
    """

    modules: tuple[str, ...]
    returns: tuple[int, ...]


@dataclass(frozen=True)
class Transition(Block):
    """A block of a stack that changes the shape of images: (N, inputs, H, W) -> (N, outputs, H / stride, W / stride).

    Sizes are rounded up.
    """

    inputs: int
    outputs: int
    stride: int


@dataclass(frozen=True)
class WiredCall:
    """One call of a torch function: names and layouts only.

    Attributes:
        name: canonical function name.
        module: path of the module in which it ran, "" for the model itself.
        origins: where each tensor argument came from.
        inputs, outputs: layouts of each tensor argument and result.
        note: the equation of an einsum, the epsilon of a batch normalization, the limits of a hardtanh (relu6).
    """

    name: str
    module: str
    origins: tuple[Origin, ...]
    inputs: tuple[tuple[Layout, ...], ...]
    outputs: tuple[tuple[Layout, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Unsupported:
    """A function that froze what it touched: which, why, how often, where first, and how many axes of parameters."""

    function: str
    calls: int
    first: str
    axes: int


@dataclass(frozen=True, eq=False)
class Wiring:
    """See the module docstring. Made by ``trace``.

    Attributes:
        model: the traced model (never changed).
        example_inputs: as given to ``trace``.
        fingerprint: of the model's structure.
        axes: every axis that lies in a parameter or buffer.
        blocks: parts with the same axes in and out, in call order.
        branches: parts whose result is only added to a stream, in call order.
        transitions: blocks of a stack that change the shape of images, in call order.
        unsupported: functions without a rule.
        sizes: size of every named axis, inner ones included.
        layouts: tensor name -> layout of each dimension; a tied tensor appears under its first name.
        aliases: further names of tied tensors -> first name.
        calls: what forward did, in order.
        relations: pairs of expressions that must stay equal.
        attributes: integer attributes that relations mention, with their values.
        construction: what the model's constructor makes of its configuration object; None without one.
        recomputed: buffers that no state dict holds, because the constructor computes them.
        outputs: layouts of the model's output tensors.
        fake: captured without values; False where forward needed real ones (data-dependent control flow).
        keeps: forward keeps something in its modules (``self.saved = x``).
    """

    model: nn.Module
    example_inputs: Any
    fingerprint: str
    axes: tuple[Axis, ...]
    blocks: tuple[Block, ...]
    unsupported: tuple[Unsupported, ...]
    sizes: Mapping[str, int]
    layouts: Mapping[str, tuple[Layout, ...]]
    aliases: Mapping[str, str]
    calls: tuple[WiredCall, ...]
    relations: tuple[tuple[Expression, Expression], ...]
    attributes: Mapping[str, int]
    outputs: tuple[tuple[Layout, ...], ...]
    output_origins: tuple[Origin, ...]
    module_layouts: Mapping[str, tuple[Layout, ...]]
    tensors: Mapping[str, torch.Tensor]
    fake: bool
    construction: Construction | None = None
    recomputed: frozenset[str] = frozenset()
    branches: tuple[Branch, ...] = ()
    transitions: tuple[Transition, ...] = ()
    keeps: bool = False

    @cached_property
    def readers(self) -> dict[int, list[int]]:
        """Call -> calls that read what it returns, ascending, each as often as it does; at the end -1 if given out."""
        found: dict[int, list[int]] = {}
        each = [(i, o) for i, call in enumerate(self.calls) for o in call.origins]
        for reader, origin in [*each, *((-1, o) for o in self.output_origins)]:
            if origin.kind == "call":
                found.setdefault(origin.call, []).append(reader)
        return found

    @cached_property
    def lifetimes(self) -> Lifetimes | None:
        """How long forward holds what each call makes; it runs once more for that.

        None where it goes another way than when it was traced: it looks at values.
        """
        try:
            with no_collections():  # what lies in a cycle counts as held, whenever the collector would have come
                run = capture(self.model, self.example_inputs, rules=None, fake=self.fake, lifetimes=True)
        except CaptureError:
            return None
        same = [call.name for call in run.recorder.calls] == [call.name for call in self.calls]
        return run.lifetimes if same else None

    @cached_property
    def axis(self) -> dict[str, Axis]:
        """Axis by name."""
        return {axis.name: axis for axis in self.axes}

    @cached_property
    def parts(self) -> dict[str, Block]:
        """Everything that can be cut, by name; one that is a branch as well as a block is a block if it is residual."""
        blocks = sorted(self.blocks, key=lambda block: block.residual)
        plain = sum(not block.residual for block in blocks)
        return {part.name: part for part in (*blocks[:plain], *self.branches, *self.transitions, *blocks[plain:])}

    @property
    def free_axes(self) -> tuple[Axis, ...]:
        return tuple(axis for axis in self.axes if axis.frozen is None)

    def parameter_names(self) -> list[str]:
        """First names of all parameters (not buffers)."""
        return [name for name, tensor in self.tensors.items() if isinstance(tensor, nn.Parameter)]

    def free_share(self) -> float:
        """Share of the parameter elements that lie on at least one axis that may change, 0 to 1."""
        free = {m.tensor for axis in self.free_axes for m in axis.members}
        counts = {name: self.tensors[name].numel() for name in self.parameter_names()}
        return sum(n for name, n in counts.items() if name in free) / max(sum(counts.values()), 1)

    def __str__(self) -> str:
        free = self.free_axes
        lines = [
            f"Wiring of {type(self.model).__name__}: {len(self.axes)} axes, {len(free)} may change "
            f"({self.free_share():.0%} of the parameters lie on them); "
            f"{len(self.blocks)} blocks, {len(self.branches)} branches; {len(self.calls)} calls"
        ]
        lines += [f"  {axis.name:<52} {axis.size:>6}   {len(axis.members)} members" for axis in free]
        why = Counter(axis.frozen.partition(", in ")[0] for axis in self.axes if axis.frozen and axis.size > 1)
        lines += [f"  {count:>4} axes stay as they are: {reason}" for reason, count in why.most_common(12)]
        if not self.fake:
            lines.append("  forward looks at values: read along the path that it took with the example inputs")
        lines += [
            f"  no rule: {u.function}, {u.calls} calls, {u.axes} axes frozen, first {u.first}" for u in self.unsupported
        ]
        return "\n".join(lines)
