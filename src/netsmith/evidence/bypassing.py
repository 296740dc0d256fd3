"""Forwards in which some modules return a function of their first input, or zeros, instead of what they compute."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from ..wiring.inputs import map_tensors
from ..wiring.recorder import tensors_in

Function = Callable[[torch.Tensor], torch.Tensor]
Instead = Function | Literal["zeros"] | None
"""What a module returns instead: a function of its first input; None: that input; zeros in the shape of its result."""


@contextlib.contextmanager
def bypassed(model: nn.Module, functions: Mapping[str, Instead]) -> Iterator[None]:
    """While it is open, modules return a function of their first input, or zeros, as their first output.

    They run all the same, on copies of their inputs, so that what else they return has its usual form; nothing that
    they compute or overwrite is seen by others.

    Args:
        model: hooks are put on it meanwhile.
        functions: module path -> function; None for the input as it is; "zeros".
    """
    handles = []
    try:
        for path, function in functions.items():
            entered: list[torch.Tensor] = []
            module = model.get_submodule(path)
            handles.append(module.register_forward_pre_hook(partial(_enter, entered), with_kwargs=True))
            handles.append(module.register_forward_hook(partial(_leave, entered, function), with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _enter(entered: list[torch.Tensor], module: nn.Module, args: tuple, kwargs: dict) -> Any:
    entered.append(tensors_in((args, kwargs))[0])
    with torch._C.DisableTorchFunction():  # forwards that count calls do not count this one
        return map_tensors((args, kwargs), torch.clone)


def _leave(
    entered: list[torch.Tensor], function: Instead, module: nn.Module, args: tuple, kwargs: dict, out: Any
) -> Any:
    x = entered.pop()
    first = tensors_in(out)[0]
    with torch._C.DisableTorchFunction():
        made = torch.zeros_like(first) if function == "zeros" else x if function is None else function(x)
        return _replaced(out, lambda tensor: made if tensor is first else tensor)


def _replaced(out: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same result with other tensors; a dict with attributes, as transformers returns, stays one."""
    if isinstance(out, dict) and type(out) is not dict:
        other = copy.copy(out)
        for key, value in out.items():
            other[key] = _replaced(value, change)
        return other
    return map_tensors(out, change)
