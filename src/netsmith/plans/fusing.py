"""Finds layers that one layer can replace exactly, and plans it.

Layers are found on the recorded calls: a module whose calls, from one input to one result, come to one affine map.
Layers in a row merge when nothing else reads what lies between them; a block of parallel branches merges by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ..errors import InputError
from ..wiring import Wiring
from ..wiring.collector import no_collections
from ..wiring.depth import shared_with, shell
from ..wiring.recorder import Origin
from ..wiring.wiring import Block
from ..wiring.without import Gone, difference
from .affine import NotAffine
from .affine_reading import Reading, read_affine
from .edits import FuseLayers
from .fused import fuse, host_of
from .layers import Layer, Layers
from .plan import Plan


@no_collections()
def plan_fusion(wiring: Wiring) -> Plan:
    """Plan to merge all layers that can be merged exactly: the outputs in eval mode stay what they are.

    Normalization and scales in eval mode go into the convolution or linear layer before them, or behind them where no
    padding lies between; linear layers in a row, and convolutions in a row, become one where that takes no more
    multiplications; parallel branches that are summed become one convolution. In training a merged normalization no
    longer normalizes: merge when training is done.

    Args:
        wiring: of the model, from ``trace``.

    Returns:
        A proven plan; without edits where nothing can be merged. ``left`` says which layers could not be, and why.

    Raises:
        InputError: wiring is none.

    Sources: branches as in Ding et al., CVPR 2021, arXiv:2101.03697 (RepVGG).
    """
    if not isinstance(wiring, Wiring):
        raise InputError(f"wiring is a {type(wiring).__name__}; give what trace(model, example_inputs) returns")
    finder = _Finder(wiring)
    edits, left = finder.edits()
    good = _proven(wiring, finder, edits, left)
    return _plan(wiring, good, left)


def _plan(wiring: Wiring, edits: Sequence[FuseLayers], left: dict[str, str]) -> Plan:
    return Plan(tuple(edits), {}, {}, {}, wiring.fingerprint, left=left)


def _proven(wiring: Wiring, finder: _Finder, edits: Sequence[FuseLayers], left: dict[str, str]) -> list[FuseLayers]:
    """The edits with which a twin runs as promised; the others are looked for by halving."""
    if not edits:
        return []
    plan, twin = _plan(wiring, edits, {}), shell(wiring.model)
    fuse(twin, plan)
    why = difference(wiring, twin, [finder.gone(edit) for edit in edits], plan.renamed)
    if why is None:
        return list(edits)
    if len(edits) == 1:
        left[edits[0].into] = why
        return []
    half = len(edits) // 2
    both = [*_proven(wiring, finder, edits[:half], left), *_proven(wiring, finder, edits[half:], left)]
    return both if len(both) == len(edits) else _proven(wiring, finder, both, left)


class _Finder:
    def __init__(self, wiring: Wiring):
        self.wiring, self.layers = wiring, Layers(wiring)
        self.slot_readers: dict[str, int] = {}
        for call in wiring.calls:
            for origin in call.origins:
                if origin.kind == "slot":
                    self.slot_readers[origin.name] = self.slot_readers.get(origin.name, 0) + 1
        self.tied = {*wiring.aliases, *wiring.aliases.values()}
        self.spans: dict[str, Layer] = {}  # into -> calls that go, from the first layer's to the last's

    def edits(self) -> tuple[list[FuseLayers], dict[str, str]]:
        edits, left = [], {}
        for row in self._rows(self.layers.found()):
            for group in self._groups(row):
                if len(group) == 1 and group[0].reading.merged_macs >= group[0].reading.macs:
                    continue  # one layer already
                edit = self._edit(group)
                why = self._kept(group)
                if edit is None or why is not None:
                    if why is not None:
                        left[group[-1].path] = why
                    continue
                edits.append(edit)
                self.spans[edit.into] = self._span(group)
        merged = [(span.first, span.last) for span in self.spans.values()]
        for index, call in enumerate(self.wiring.calls):
            if call.name == "batch_norm" and not any(first <= index <= last for first, last in merged):
                left.setdefault(call.module, "no layer that could take it over stands alone before or behind it")
        return edits, left

    def gone(self, edit: FuseLayers) -> Gone:
        """The calls that go, as the proof knows them, with the one that is made instead."""
        span, found = self.spans[edit.into], self.spans[edit.into].reading.map
        spatial = len(found.kernel)
        name = "linear" if not spatial else f"conv{'_transpose' if found.transposed else ''}{spatial}d"
        result = Origin("call", call=span.last)
        return Gone(Block(edit.into, "", span.first, span.last, 0, span.entry, result, False, None), name)

    def _rows(self, layers: Sequence[Layer]) -> list[list[Layer]]:
        """Layers of which each reads, alone, what the one before returns."""
        rows: list[list[Layer]] = []
        for layer in layers:
            before = rows[-1][-1] if rows else None
            if before is not None and self._follows(before, layer):
                rows[-1].append(layer)
            else:
                rows.append([layer])
        return rows

    def _follows(self, before: Layer, layer: Layer) -> bool:
        readers = self.layers.readers(before.last)
        return (
            not before.then
            and not layer.reading.map.open
            and not any(self.layers.readers(between) for between in range(before.last + 1, layer.first))
            and layer.entry == Origin("call", call=before.last)
            and all(layer.first <= reader <= layer.last for reader in readers)
        )

    def _groups(self, row: Sequence[Layer]) -> list[list[Layer]]:
        """The row cut where one map could not say it, or would take more multiplications."""
        groups: list[list[Layer]] = []
        for layer in row:
            if groups and self._together([*groups[-1], layer]) is not None:
                groups[-1].append(layer)
            else:
                groups.append([layer])
        return groups

    def _together(self, group: Sequence[Layer]) -> Reading | None:
        layers = [self.layers.modules[layer.path] for layer in group]
        stop = self.layers.modules[group[-1].then[0]] if group[-1].then else None
        try:
            reading = read_affine(layers, group[0].shape, stop)
        except NotAffine:
            return None
        return reading if reading.merged_macs <= reading.macs else None

    def _edit(self, group: Sequence[Layer]) -> FuseLayers | None:
        reading = self._together(group)
        if reading is None or reading.map.is_diagonal:
            return None
        kernels = [layer.path for layer in group if not layer.reading.map.is_diagonal] or [group[0].path]
        paths, then = tuple(layer.path for layer in group), group[-1].then
        for into in kernels:
            edit = FuseLayers(paths, into, group[0].shape, then)
            if host_of(self.layers.twin, edit, reading.map) is not None:
                reads = {o.name for c in self.wiring.calls[group[0].first : group[-1].last + 1] for o in c.origins}
                return edit if f"{into}.weight" in reads else None
        return None if reading.map.open else FuseLayers(paths, kernels[0], group[0].shape, then)

    def _span(self, group: Sequence[Layer]) -> Layer:
        reading = self._together(group)
        assert reading is not None
        first, last = group[0], group[-1]
        return Layer(first.path, first.first, last.last, first.entry, first.shape, last.then, reading)

    def _kept(self, group: Sequence[Layer]) -> str | None:
        """Why these layers must stay; None where they need not."""
        slots = {
            origin.name
            for call in self.wiring.calls[group[0].first : group[-1].last + 1]
            for origin in call.origins
            if origin.kind == "slot"
        }
        inside = [o.name for c in self.wiring.calls[group[0].first : group[-1].last + 1] for o in c.origins]
        for name in sorted(slots):
            if name in self.tied or self.slot_readers[name] > inside.count(name):
                return f"{name} is shared"
        for layer in group:
            other = shared_with(self.wiring.model, layer.path)
            if other is not None:
                return f"{layer.path!r} is shared with {other!r}"
            for module in self.wiring.model.get_submodule(layer.path).modules():
                if _has_hooks(module):
                    return f"{layer.path!r} has hooks"
        return None


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)
