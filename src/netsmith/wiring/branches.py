"""Which modules' results are only added to a stream: attention and feed-forward branches inside one layer.

A branch is one module (``self_attn`` of a Llama layer), or a row of modules of which each only feeds the next (BERT's
``attention.self`` and ``attention.output.dense``). Held at zero, it drops out of the sum: between the last module and
the sum lie only calls that leave zeros zero. The stream is what the branch itself was computed from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from .blocks import ADDITIONS, kept_for
from .capture import Capture, ModuleCall
from .layouts import Layout
from .recorder import Origin, Recorded
from .wiring import Branch

_SUMS = ADDITIONS - {name for name in ADDITIONS if "sub" in name}
_KEEP_ZEROS = frozenset(
    "dropout feature_dropout to type_as float half bfloat16 double contiguous clone detach mul __mul__ __rmul__ div "
    "__truediv__ view reshape permute transpose flatten unflatten squeeze unsqueeze __getitem__ neg roll movedim "
    "swapaxes flip mul_ __imul__".split()
)
_MOST_MODULES = 4  # in a row


def find_branches(model: nn.Module, captured: Capture, layout_of: Callable[[Any], Layout]) -> tuple[Branch, ...]:
    """Branches of the eval forward, in call order; of branches inside each other the outermost."""
    return _Finder(model, captured, layout_of).run()


class _Finder:
    def __init__(self, model: nn.Module, captured: Capture, layout_of: Callable[[Any], Layout]):
        self.modules, self.captured, self.layout_of = dict(model.named_modules()), captured, layout_of
        self.calls: Sequence[Recorded] = captured.recorder.calls[: captured.eval_calls]
        self.matrices = {name for name, (tensor, _) in captured.tensors.items() if tensor.dim() > 1}
        self.readers: dict[Origin, list[int]] = {}
        for i, each in enumerate(self.calls):
            for origin in each.origins:
                self.readers.setdefault(origin, []).append(i)
        self.given_out = set(captured.output_origins)
        runs: dict[str, int] = {}
        for call in captured.module_calls:
            runs[call.path] = runs.get(call.path, 0) + 1
        holding = {path for path, module in self.modules.items() if any(p.dim() > 1 for p in module.parameters())}
        self.able = [
            c
            for c in captured.module_calls
            if c.path in holding and runs[c.path] == 1 and c.inputs and c.outputs and c.returns is not None
        ]
        self.made: dict[Origin, ModuleCall] = {}  # what a module returns -> the outermost that does
        for c in self.able:
            if c.left[0] not in self.made or len(c.path) < len(self.made[c.left[0]].path):
                self.made[c.left[0]] = c

    def run(self) -> tuple[Branch, ...]:
        found = []
        for last in self.able:
            streams = self.streams(last.left[0])
            row = self.row(last, streams) if streams else None
            if row:
                found.append(self.branch(row))
        outer = [b for b in found if not any(_inside(b.modules, other.modules) for other in found)]
        return tuple(sorted(outer, key=lambda b: (b.first_call, b.last_call)))

    def branch(self, row: Sequence[ModuleCall]) -> Branch:
        first, last = row[0], row[-1]
        return Branch(
            name=last.path,
            kind=type(self.modules[last.path]).__name__,
            first_call=first.first_call,
            last_call=last.last_call,
            params=sum(p.numel() for call in row for p in self.modules[call.path].parameters()),
            entry=first.entered[0],
            result=last.left[0],
            residual=False,
            kept=kept_for(self.calls, first.first_call, last.last_call, first.entered[0], last.left[0], self.given_out),
            modules=tuple(call.path for call in row),
            returns=tuple(call.returns or 0 for call in row),
        )

    def streams(self, result: Origin) -> set[Origin]:
        """What this is added to; empty where anything but a sum reads it."""
        found: set[Origin] = set()
        pending, seen = [result], {result}
        while pending:
            origin = pending.pop()
            if origin in self.given_out:
                return set()
            for reader in self.readers.get(origin, ()):
                call = self.calls[reader]
                others = [o for o in call.origins if o != origin and o.kind in ("call", "input")]
                if call.name in _SUMS and len(others) == 1:
                    found |= self.unwound(others[0])
                elif call.name not in _KEEP_ZEROS or others:
                    return set()
                made = Origin("call", call=reader)
                # a sum of several branches may itself only be added
                if made not in seen and (call.name not in _SUMS or self.only_added(made)):
                    seen.add(made)
                    pending.append(made)
        return found

    def only_added(self, made: Origin) -> bool:
        readers = self.readers.get(made, [])
        return bool(readers) and made not in self.given_out and all(self.calls[r].name in _SUMS for r in readers)

    def unwound(self, origin: Origin) -> set[Origin]:
        """The value, what it was before calls that only pass it on, and the parts of which it is the sum."""
        pending, seen = [origin], {origin}
        while pending:
            each = pending.pop()
            if each.kind != "call":
                continue
            before = [o for o in self.calls[each.call].origins if o.kind in ("call", "input")]
            name = self.calls[each.call].name
            if name in _SUMS or (name in _KEEP_ZEROS and len(before) == 1):
                pending += [o for o in before if o not in seen]
                seen.update(before)
        return seen

    def row(self, last: ModuleCall, streams: set[Origin]) -> list[ModuleCall] | None:
        """The module, and before it those that only feed it, back to one that reads the stream."""
        row = [last]
        wanted = [self.layout_of(dim) for dim in last.outputs[0]]
        while len(row) <= _MOST_MODULES:
            first = row[0]
            if [self.layout_of(d) for d in first.inputs[0]] == wanted and streams & self.sources(first.entered[0]):
                return row
            feeder = self.feeder(first)
            if feeder is None:
                return None
            row.insert(0, feeder)
        return None

    def feeder(self, module: ModuleCall) -> ModuleCall | None:
        """The module whose result, through calls of one input, is this one's only input."""
        origin = module.entered[0]
        while origin not in self.made:
            if origin.kind != "call":
                return None
            before = [o for o in self.calls[origin.call].origins if o.kind in ("call", "input")]
            if len(before) != 1 or any(o.name in self.matrices for o in self.calls[origin.call].origins):
                return None
            origin = before[0]
        feeder = self.made[origin]
        return feeder if feeder.last_call < module.first_call else None

    def sources(self, origin: Origin) -> set[Origin]:
        """All that this is computed from without a matrix."""
        pending, seen = [origin], {origin}
        while pending:
            each = pending.pop()
            if each.kind != "call" or any(o.name in self.matrices for o in self.calls[each.call].origins):
                continue
            fresh = [o for o in self.calls[each.call].origins if o.kind in ("call", "input") and o not in seen]
            seen.update(fresh)
            pending += fresh
        return seen


def _inside(modules: Sequence[str], others: Sequence[str]) -> bool:
    """Whether every module lies in one of the others, and they are not the same."""
    each = all(any(m == o or m.startswith(f"{o}.") for o in others) for m in modules)
    return each and tuple(modules) != tuple(others)
