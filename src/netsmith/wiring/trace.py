"""Reads a model: capture, then names for axes, then a ``Wiring``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import lcm
from typing import Any, Literal

import torch
from torch import nn

from ..errors import CaptureError, InputError, UnknownOpError
from . import spaces
from .blocks import find_blocks
from .branches import find_branches
from .capture import Capture, capture
from .collector import no_collections
from .construction import construction
from .layouts import Concat, Layout, axis_names
from .provenance import attributes_in, dims_in, rewrite
from .recorder import Rule
from .rules import DEFAULT_RULES
from .slots import fingerprint, recomputed_buffers
from .spaces import Dim, Space
from .transitions import find_transitions
from .wiring import Axis, Member, Unsupported, WiredCall, Wiring


@no_collections()
def trace(
    model: nn.Module,
    example_inputs: Any,
    *,
    rules: Mapping[Any, Rule] | None = None,
    unknown: Literal["freeze", "raise"] = "freeze",
) -> Wiring:
    """Read how the dimensions of a model's tensors hang together.

    Forward runs once in eval mode on a throw-away twin with fake tensors: no data is computed, the model is not
    changed, and weights may be on ``meta``. A forward that looks at values runs on a real copy instead, and is read
    along the path that it takes with these inputs; ``print(wiring)`` says so. Forward hooks are part of the forward:
    they run as well, and what they do to a result is read.

    Args:
        model: any module.
        example_inputs: one call's inputs: a tensor, a tuple of positional or a dict of keyword arguments.
        rules: more rules, torch function (or its name) -> rule; see ``netsmith.wiring.rules``.
        unknown: what to do about functions without a rule: "freeze" what they touch, or "raise".

    Returns:
        The wiring; ``print`` it.

    Raises:
        InputError: example_inputs or model of the wrong kind.
        CaptureError: forward raises with these inputs.
        ModelError: the model cannot be copied or holds wrapped (quantized) parameters.
        UnknownOpError: a function has no rule and ``unknown="raise"``.

    Example:
        >>> wiring = netsmith.trace(torchvision.models.resnet18(), torch.randn(1, 3, 224, 224))  # doctest: +SKIP
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model is a {type(model).__name__}; give a torch.nn.Module")
    if unknown not in ("freeze", "raise"):
        raise InputError(f'unknown={unknown!r}; give "freeze" or "raise"')
    if rules is not None and not isinstance(rules, Mapping):
        raise InputError(f"rules is a {type(rules).__name__}; give a dict, e.g. {{torch.roll: my_rule}}")
    table = {**DEFAULT_RULES, **(rules or {})}
    for function, rule in table.items():
        if not callable(rule):
            raise InputError(f"the rule for {function!r} is not callable; a rule is a function of one Call")
    wiring = _wiring(model, example_inputs, _capture_either_way(model, example_inputs, table))
    if wiring.unsupported and unknown == "raise":
        raise UnknownOpError(_unsupported_message(wiring))
    return wiring


@no_collections()
def as_run(wiring: Wiring, inputs: Any) -> Wiring:
    """The same wiring, with the calls that forward makes on these real inputs.

    Some libraries leave checks out when they meet fake tensors, or look at the number of examples; what counts calls in
    real forwards wants those of the real ones. Where none can be run it is the wiring as given.
    """
    try:
        run = capture(wiring.model, inputs, rules=None, fake=False)
        if [call.name for call in run.recorder.calls] == [call.name for call in wiring.calls]:
            return wiring
        real = capture(wiring.model, inputs, rules=DEFAULT_RULES, fake=False)
    except CaptureError:
        return wiring
    return _wiring(wiring.model, inputs, real)


def _wiring(model: nn.Module, example_inputs: Any, captured: Capture) -> Wiring:
    for dims in captured.outputs:
        for dim in dims:
            spaces.freeze(dim, "a dimension of the model's output")
    _freeze_by_reading(captured)
    return _Namer(captured).wiring(model, example_inputs)


def _capture_either_way(model: nn.Module, example_inputs: Any, rules: Mapping[Any, Rule]) -> Capture:
    try:
        return capture(model, example_inputs, rules=rules)
    except CaptureError as error:
        if any(p.is_meta for p in model.parameters()):
            raise
        try:
            return capture(model, example_inputs, rules=rules, fake=False)
        except CaptureError as real:
            raise real from error


def _freeze_by_reading(captured: Capture) -> None:
    """Freeze tensors that nothing reads (another forward may: in training, through a closure over the original), and
    dimensions whose units are named by positions that something reads."""
    read = {origin for call in captured.recorder.calls for origin in call.origins} | set(captured.output_origins)
    slots = {origin.name for origin in read if origin.kind == "slot"} | captured.rewritten
    for name, (_, dims) in captured.tensors.items():
        for dim in dims if name not in slots else ():
            spaces.freeze(dim, "not read by this forward")
    for dim, origin in captured.recorder.named:
        if origin in read:
            spaces.freeze(dim, "its units are named by position")


def _unsupported_message(wiring: Wiring) -> str:
    lines = [f"{len(wiring.unsupported)} functions have no wiring rule; what they touch would stay as it is."]
    lines += [f"  {u.function:<40} {u.calls} calls, {u.axes} axes   first in {u.first}" for u in wiring.unsupported]
    lines.append("Either give a rule:  trace(model, x, rules={torch.roll: my_rule})   (docs/python.md)")
    lines.append('or leave them:       trace(model, x, unknown="freeze")')
    lines.append("The model has not been changed.")
    return "\n".join(lines)


class _Namer:
    """Turns the spaces of a capture into named axes and layouts."""

    def __init__(self, captured: Capture):
        self.captured = captured
        self.names: dict[Space, str] = {}
        self.sizes: dict[str, int] = {}
        roles = captured.recorder.roles
        self.roles = {
            name: [roles.get((captured.twins[name], d), "pointwise") for d in range(len(dims))]
            for name, (_, dims) in captured.tensors.items()
        }
        places = [(name, d) for name, (_, dims) in captured.tensors.items() for d in range(len(dims))]
        # an axis is called after the tensor that makes it
        for name, d in sorted(places, key=lambda p: self.roles[p[0]][p[1]] != "producer"):
            self._name_leaves(captured.tensors[name][1][d], f"{name}:{d}")

    def _name_leaves(self, dim: Dim, base: str) -> None:
        below = spaces.leaves(dim)
        for i, leaf in enumerate(below):
            if leaf not in self.names and leaf.size > 1:
                self._name(leaf, base if len(below) == 1 else f"{base}.{i}")

    def _name(self, leaf: Space, name: str) -> None:
        self.names[leaf] = name
        self.sizes[name] = leaf.size

    def layout(self, dim: Dim) -> Layout:
        """Fixed factors that no tensor holds become ints; free ones of the same kind get an inner name."""
        out: list = []
        for space in spaces.atoms(dim):
            if space.kind == "sum":
                out.append(Concat(tuple(self.layout(part) for part in space.parts)))
            elif space in self.names:
                out.append(self.names[space])
            elif space.frozen or space.size <= 1:
                if space.size != 1:
                    out.append(space.size)
            else:
                self._name(space, f"({len(self.names)})")
                out.append(self.names[space])
        return tuple(out)

    def wiring(self, model: nn.Module, example_inputs: Any) -> Wiring:
        captured, recorder = self.captured, self.captured.recorder
        layouts = {name: tuple(self.layout(d) for d in dims) for name, (_, dims) in captured.tensors.items()}
        calls = tuple(
            WiredCall(
                call.name,
                call.module,
                tuple(call.origins),
                tuple(tuple(self.layout(d) for d in dims) for dims in call.inputs),
                tuple(tuple(self.layout(d) for d in dims) for dims in call.outputs),
                call.note,
            )
            for call in recorder.calls[: captured.eval_calls]
        )
        relations, used = [], set()
        for left, right in [*recorder.constraints, *captured.equalities]:
            if not self._matters(left) and not self._matters(right):
                continue
            used |= attributes_in(left) | attributes_in(right)
            relations.append((rewrite(left, self.layout), rewrite(right, self.layout)))
        tensors = {name: tensor for name, (tensor, _) in captured.tensors.items()}
        axes = self._axes(layouts, tensors)
        blocks = find_blocks(model, captured, self.layout)
        return Wiring(
            model=model,
            example_inputs=example_inputs,
            fingerprint=fingerprint(model),
            axes=axes,
            blocks=blocks,
            unsupported=tuple(
                Unsupported(function, len(places), places[0], sum(1 for a in axes if _names(a.frozen, function)))
                for function, places in recorder.unsupported.items()
            ),
            sizes=self.sizes,
            layouts=layouts,
            aliases=captured.aliases,
            calls=calls,
            relations=tuple(relations),
            attributes={key: captured.attributes[key] for key in sorted(used)},
            outputs=tuple(tuple(self.layout(d) for d in dims) for dims in captured.outputs),
            output_origins=tuple(captured.output_origins),
            module_layouts=_module_layouts(captured, self.layout),
            tensors=tensors,
            fake=captured.fake,
            construction=construction(model),
            recomputed=recomputed_buffers(model),
            branches=find_branches(model, captured, self.layout),
            transitions=find_transitions(model, captured, blocks),
            keeps=captured.keeps,
        )

    def _matters(self, expression: Any) -> bool:
        """An expression without attributes and without free axes can never change."""
        if attributes_in(expression):
            return True
        return any(not leaf.frozen for dim in dims_in(expression) for leaf in spaces.leaves(dim))

    def _axes(self, layouts: Mapping[str, tuple[Layout, ...]], tensors: Mapping[str, torch.Tensor]) -> tuple[Axis, ...]:
        leaf_of = {name: leaf for leaf, name in self.names.items()}
        members: dict[str, list[Member]] = {}
        for tensor, dims in layouts.items():
            trainable = isinstance(tensors[tensor], nn.Parameter)
            for d, layout in enumerate(dims):
                role = self.roles[tensor][d]
                for name in dict.fromkeys(axis_names(layout)):
                    members.setdefault(name, []).append(Member(tensor, d, role, trainable, layout, self.sizes, name))
        statistics = self._marks((dim, label) for dim, label in self.captured.recorder.statistics)
        pinned: dict[str, set[int]] = {}
        for dim, first in self.captured.recorder.pinned:
            for leaf in spaces.ends(dim, first):
                pinned.setdefault(self.names.get(leaf, ""), set()).add(0 if first else leaf.size - 1)
        multiples: dict[str, int] = {}
        for dim, multiple in self.captured.recorder.alignments:
            for leaf in spaces.leaves(dim):
                if leaf in self.names:
                    multiples[self.names[leaf]] = lcm(multiple, multiples.get(self.names[leaf], 1))
        return tuple(
            Axis(
                name,
                self.sizes[name],
                leaf_of[name].frozen,
                tuple(found),
                tuple(statistics.get(name, ())),
                tuple(sorted(pinned.get(name, ()))),
                multiples.get(name, 1),
            )
            for name, found in members.items()
        )

    def _marks(self, marks: Any) -> dict[str, dict[str, None]]:
        out: dict[str, dict[str, None]] = {}
        for dim, label in marks:
            for leaf in spaces.leaves(dim):
                if leaf in self.names and not leaf.frozen:
                    out.setdefault(self.names[leaf], {})[label] = None
        return out


def _names(reason: str | None, function: str) -> bool:
    """Whether an axis was frozen because of this function."""
    return reason is not None and (reason == function or reason.startswith(f"{function}, in "))


def _module_layouts(captured: Capture, layout: Callable[[Dim], Layout]) -> dict[str, tuple[Layout, ...]]:
    """Module path -> layouts of everything that enters or leaves it."""
    out: dict[str, tuple[Layout, ...]] = {}
    for call in captured.module_calls:
        found = [layout(d) for dims in [*call.inputs, *call.outputs] for d in dims]
        out[call.path] = (*out.get(call.path, ()), *found)
    return out
