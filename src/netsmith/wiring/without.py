"""Proves that a model without some of its blocks does, call by call, what the original does around them.

The edited twin is captured, and its calls are compared with the original's less those inside the blocks, as far as the
output depends on them: the same functions in the same order, on the same shapes, and every tensor that is read comes
from where it came from, with a block's result replaced by the block's input (or by what its stand-in makes of that).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from ..errors import CaptureError, ModelError
from .capture import Capture, capture
from .collector import no_collections
from .layouts import layout_size
from .recorder import Origin, Recorded, writes
from .rules import DEFAULT_RULES
from .wiring import Block, WiredCall, Wiring

ZEROS = "zeros_like"


@dataclass(frozen=True)
class Gone:
    """A block or branch that is gone.

    Attributes:
        stand_in: name of the one function that is called instead of it; "" for none. ``ZEROS`` reads no value.
        place: path, in the edited model, of the module that calls it.
    """

    block: Block
    stand_in: str = ""
    place: str = ""


@no_collections()
def difference(
    wiring: Wiring, edited: nn.Module, gone: Sequence[Gone], renamed: Callable[[str], str | None]
) -> str | None:
    """None where the edited model is the original without these blocks, else the first thing that is otherwise.

    Args:
        wiring: of the original.
        edited: a model without the blocks.
        gone: none of them inside another.
        renamed: slot name before -> after; None where the slot is gone.
    """
    try:
        found = capture(edited, wiring.example_inputs, rules=DEFAULT_RULES, fake=wiring.fake)
    except (CaptureError, ModelError) as error:
        return " ".join(str(error).split("\n")[1:2] or [str(error)]).strip()
    return _Comparison(wiring, found, gone, renamed).run()


@no_collections()
def matched_calls(
    wiring: Wiring, edited: nn.Module, gone: Sequence[Gone], renamed: Callable[[str], str | None]
) -> dict[int, int] | None:
    """Call of the original -> call of the edited model that does the same; a block's result -> its stand-in's.

    None where ``difference`` finds one.
    """
    found = capture(edited, wiring.example_inputs, rules=DEFAULT_RULES, fake=wiring.fake)
    comparison = _Comparison(wiring, found, gone, renamed)
    if comparison.run() is not None:
        return None
    results = {g.block.result.call: comparison.stands[g.block.name] for g in gone if g.stand_in}
    return comparison.number | results


class _Comparison:
    def __init__(self, wiring: Wiring, found: Capture, gone: Sequence[Gone], renamed: Callable[[str], str | None]):
        self.wiring, self.found, self.renamed = wiring, found, renamed
        self.calls: Sequence[Recorded] = found.recorder.calls[: found.eval_calls]
        self.gone = sorted(gone, key=lambda g: g.block.first_call)
        self.by_result = {g.block.result: g for g in self.gone}
        self.number: dict[int, int] = {}  # call of the original -> call of the edited model
        self.stands: dict[str, int] = {}  # block -> call of its stand-in

    def run(self) -> str | None:
        places = {g.place for g in self.gone if g.stand_in == ZEROS}
        zeros = {i for i, call in enumerate(self.calls) if call.name == ZEROS and call.module in places}
        left = iter(_live(self.calls, self.found.output_origins, lambda origin: origin, blind=zeros))
        for expected in self.expected():
            at = next(left, None)
            if isinstance(expected, Gone):
                if at is None or self.calls[at].name != expected.stand_in:
                    return f"no {expected.stand_in} in place of {expected.block.name}"
                if expected.stand_in == ZEROS:
                    if self.calls[at].output_shapes[0] != self.shape(expected.block.result):
                        return f"what {expected.block.name} gives has another shape than its input"
                elif self.calls[at].origins[0] != self.mapped(expected.block.entry):
                    return f"the stand-in of {expected.block.name} does not read what the block read"
                self.stands[expected.block.name] = at
                continue
            call = self.wiring.calls[expected]
            why = f"{call.name} in {_place(call)} no longer runs" if at is None else self.differs(call, at)
            if why:
                return why
            assert at is not None
            self.number[expected] = at
        at = next(left, None)
        if at is not None:
            return f"{self.calls[at].name} runs in addition, in {_place(self.calls[at])}"
        if [self.mapped(o) for o in self.wiring.output_origins] != self.found.output_origins:
            return "the model gives out something else"
        return None

    def expected(self) -> list[int | Gone]:
        """Calls of the original around the blocks that something still reads, and the stand-ins, in order."""
        inside = {i for g in self.gone for i in range(g.block.first_call, g.block.last_call + 1)}
        live = _live(self.wiring.calls, self.wiring.output_origins, self.before, inside)
        events: list[tuple[int, int | Gone]] = [(index, index) for index in live]
        events += [(g.block.first_call, g) for g in self.gone if g.stand_in]
        return [event for _, event in sorted(events, key=lambda e: e[0])]

    def shape(self, origin: Origin) -> tuple[int, ...]:
        layouts = self.wiring.calls[origin.call].outputs[origin.output]
        return tuple(layout_size(layout, self.wiring.sizes) for layout in layouts)

    def before(self, origin: Origin) -> Origin:
        """What was there before the blocks, of something that they return; a branch's zeros need nothing."""
        while origin in self.by_result:
            if self.by_result[origin].stand_in == ZEROS:
                return Origin("constant")
            origin = self.by_result[origin].block.entry
        return origin

    def differs(self, call: WiredCall, at: int) -> str | None:
        got = self.calls[at]
        if got.name != call.name:
            return f"{call.name} in {_place(call)} became {got.name}"
        shapes = [tuple(layout_size(layout, self.wiring.sizes) for layout in layouts) for layouts in call.outputs]
        if got.output_shapes != shapes or got.note != call.note:
            return f"{call.name} in {_place(call)} gives another shape or takes another number"
        if got.origins != [self.mapped(origin) for origin in call.origins]:
            return f"{call.name} in {_place(call)} reads something else than before"
        return None

    def mapped(self, origin: Origin) -> Origin:
        """What a reader of this sees in the edited model."""
        while origin in self.by_result:
            this = self.by_result[origin]
            if this.stand_in:
                return Origin("call", call=self.stands.get(this.block.name, -1))
            origin = this.block.entry
        if origin.kind == "call":
            return Origin("call", call=self.number.get(origin.call, -1), output=origin.output)
        if origin.kind == "slot":
            name = self.renamed(origin.name) or ""
            return Origin("slot", name=self.found.aliases.get(name, name))
        return origin


def _live(
    calls: Sequence[Recorded | WiredCall],
    given_out: Sequence[Origin],
    seen_as: Callable[[Origin], Origin],
    without: set[int] | frozenset[int] = frozenset(),
    blind: set[int] | frozenset[int] = frozenset(),
) -> list[int]:
    """Calls on whose results the model's output depends, ascending; those that overwrite something count as such.

    A mask for layers that are gone may be computed no more: what nothing reads need not be the same. Calls that are
    ``blind`` look at no value.
    """
    kept = [i for i in range(len(calls)) if i not in without]
    pending = [seen_as(origin) for origin in given_out]
    if not any(origin.kind == "call" for origin in pending):
        return kept  # an output of a type that is not looked into
    live = {i for i in kept if writes(calls[i].name)}
    pending += [seen_as(origin) for i in live for origin in calls[i].origins]
    while pending:
        origin = pending.pop()
        if origin.kind == "call" and origin.call not in live:
            live.add(origin.call)
            pending += [seen_as(o) for o in calls[origin.call].origins] if origin.call not in blind else []
    return sorted(live)


def _place(call: Recorded | WiredCall) -> str:
    return call.module or "the model"
