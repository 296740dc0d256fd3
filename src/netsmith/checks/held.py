"""Holds removed units at zero wherever they run, not only in their own weights.

A bias along another axis gives every unit a value: in a token-mixing layer the biases of the tokens reach the channels
whose weights are all zero, and the next normalization over channels counts them. A smaller model has no such units, so
it is compared with the original in which they stay at zero after every call. What is still compared is everything
else: were the wiring wrong about where a unit lies, the zeros would be in the wrong places.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..errors import NetsmithError
from ..plans import Plan
from ..wiring import Wiring, trace
from ..wiring.layouts import Concat, Layout, axis_names, kept_positions
from ..wiring.recorder import counts, function_name, tensors_in
from ..wiring.trace import as_run
from .widthless import widthless


def holding_zeros(original: nn.Module, plan: Plan, example_inputs: Any) -> Callable[[], AbstractContextManager] | None:
    """``widthless``, in which the units that the plan removes stay at zero; for a run of the original.

    None where the original cannot be read again as the plan was made (with rules of the caller's, or from values).
    """
    try:
        wiring = trace(original, example_inputs)
        if not wiring.fake:
            return None
        wiring = as_run(wiring, example_inputs)
    except NetsmithError:
        return None
    resized = plan.keep().keys()
    for name, dims in plan.layouts.items():
        found = wiring.layouts.get(wiring.aliases.get(name, name), ())
        if [_bare(d, resized, wiring.sizes) for d in found] != [_bare(d, resized, plan.sizes) for d in dims]:
            return None

    @contextmanager
    def around() -> Any:
        with ExitStack() as stack:
            stack.enter_context(widthless())
            stack.enter_context(_Held(wiring, plan))
            yield

    return around


def _bare(layout: Layout, resized: Collection[str], sizes: Mapping[str, int]) -> Layout:
    """The layout with every axis that keeps its size as a mere number: it may be called otherwise by now."""
    return tuple(
        Concat(tuple(_bare(piece, resized, sizes) for piece in part.parts))
        if isinstance(part, Concat)
        else sizes[part]
        if isinstance(part, str) and part not in resized
        else part
        for part in layout
    )


class _Held(TorchFunctionMode):
    """Sets the removed units in the results of each call to zero."""

    def __init__(self, wiring: Wiring, plan: Plan):
        super().__init__()
        self.wiring, self.keep = wiring, plan.keep()
        self.calls = iter(wiring.calls)
        self.places: dict[Layout, torch.Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out, name = func(*args, **(kwargs or {})), function_name(func)
        outs = tensors_in(out)
        if not counts(name, outs):
            return out
        call = next(self.calls, None)
        if call is None or call.name != name:
            raise RuntimeError(f"forward called {name}, and did not when it was traced")
        for tensor, dims in zip(outs, call.outputs, strict=True):
            for dim, layout in enumerate(dims):
                gone = self._gone(layout)
                if gone.numel() and 0 in tensor.stride():
                    out = tensor = tensor.clone()  # expanded: its elements share memory
                if gone.numel():
                    tensor.index_fill_(dim, gone.to(tensor.device), 0)
        return out

    def _gone(self, layout: Layout) -> torch.Tensor:
        if layout not in self.places:
            positions: set[int] = set()
            if any(name in self.keep for name in axis_names(layout)):
                kept = set(kept_positions(layout, self.wiring.sizes, self.keep))
                positions = set(kept_positions(layout, self.wiring.sizes, {})) - kept
            self.places[layout] = torch.tensor(sorted(positions), dtype=torch.long)
        return self.places[layout]
