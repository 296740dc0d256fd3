"""Forwards whose products are taken in bfloat16: faster where the processor is made for it (1.4 times, ResNet-56).

Only inputs and weights of convolutions and linear layers are rounded, for as long as the product takes; results,
statistics and what is solved from them stay in the precision of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

from ..errors import InputError
from ..wiring.recorder import function_name

PRECISIONS = ("auto", "no", "bf16")
_PRODUCTS = frozenset({"linear", *(f"{kind}{n}d" for kind in ("conv", "conv_transpose") for n in (1, 2, 3))})
_rounding: ContextVar[bool] = ContextVar("rounding", default=False)


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Within the block, evidence is gathered and layers are refitted with products in this precision.

    Args:
        precision: "bf16"; "no" for that of the model; "auto": bf16 where the processor is
            faster with it than with float32.

    Raises:
        InputError: another precision.

    Example:
        >>> with products_in("bf16"):  # doctest: +SKIP
        ...     plan = plan_allocation(wiring, budget=budget, data=batches)
    """
    check_precision(precision)
    token = _rounding.set(precision == "bf16" or (precision == "auto" and _faster()))
    try:
        yield
    finally:
        _rounding.reset(token)


def check_precision(precision: Any) -> None:
    """Raises InputError for a precision that ``products_in`` does not know."""
    if precision not in PRECISIONS:
        raise InputError(
            f"precision={precision!r} is unknown; there are 'no' (that of the model), 'bf16', and 'auto' (bf16 where "
            "the processor is faster with it)"
        )


def _faster() -> bool:
    """Whether the processor multiplies bfloat16 faster than float32.

    Intel's without AMX know the instruction but carry it out half as fast; of all that have it, AMD's alone know sse4a.
    """
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(able.get("amx_bf16") or (able.get("avx512_bf16") and able.get("sse4a")))


def computed(func: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
    """What a call returns; the product of a layer in bfloat16 where that is asked for."""
    if not _rounding.get() or function_name(func) not in _PRODUCTS:
        return func(*args, **kwargs)
    with torch._C.DisableTorchFunction():
        if not any(_is_full(value) for value in (*args, *kwargs.values())):
            return func(*args, **kwargs)
        return func(*map(_rounded, args), **{key: _rounded(value) for key, value in kwargs.items()}).float()


def _rounded(value: Any) -> Any:
    return value.bfloat16() if _is_full(value) else value


def _is_full(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype == torch.float32
