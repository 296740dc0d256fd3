"""What the result may cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ..errors import BudgetError, InputError


@dataclass(frozen=True)
class Budget:
    """Upper limits on the cost of the result; what is None is free.

    A float ≤ 1 or a string such as ``"50%"`` is a share of the original; other numbers are absolute.

    Args:
        macs: multiply-accumulates of one call with the example inputs.
        params: number of parameter elements.
        bytes: bytes of parameters and buffers.
        latency_ms: median milliseconds of one call, measured on this machine.
        peak_bytes: bytes held at one time during that call: parameters, buffers, inputs, and what forward has made and
            not yet let go; see ``costs.Cost``.

    Raises:
        BudgetError: nothing is limited, or a limit is not a positive number or share.

    Example:
        >>> Budget(macs=0.5).limits(original=Cost(params=10, macs=1000, bytes=40))  # doctest: +SKIP
        {'macs': 500.0}
    """

    macs: float | str | None = None
    params: float | str | None = None
    bytes: float | str | None = None
    latency_ms: float | str | None = None
    peak_bytes: float | str | None = None

    def __post_init__(self) -> None:
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        if not given:
            raise BudgetError(f"the budget limits nothing; give one of {', '.join(COSTS)}, e.g. macs=0.5")
        for name, value in given.items():
            _share_or_number(name, value)

    def limits(self, original: object) -> dict[str, float]:
        """Absolute limit of each limited cost. ``original`` has the attributes that are limited.

        Raises:
            BudgetError: a share of a cost that the original does not state (``latency_ms`` not measured), or a limit of
                peak memory where that is not known.
        """
        result = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if value is None:
                continue
            share, number = _share_or_number(f.name, value)
            if f.name == "peak_bytes" and getattr(original, f.name, None) is None:
                raise BudgetError(
                    "the model's peak_bytes is not known, as its forward looks at values and goes another way each "
                    "time; limit bytes or macs"
                )
            if share:
                whole = getattr(original, f.name)
                if whole is None:
                    raise BudgetError(
                        f"{f.name} is a share of the original's, which was not measured; give an absolute number"
                    )
                number *= whole
            result[f.name] = number
        return result


COSTS = tuple(f.name for f in fields(Budget))


def check_saving(budget: object) -> None:
    """Refuse what is no budget, or one that asks for more than there is where only less can be made.

    Raises:
        InputError: no budget.
        BudgetError: a share above 100 %.
    """
    if not isinstance(budget, Budget):
        raise InputError(f"budget is a {type(budget).__name__}; give e.g. netsmith.Budget(macs=0.5)")
    for f in fields(budget):
        value = getattr(budget, f.name)
        share, number = (False, 0.0) if value is None else _share_or_number(f.name, value)
        if share and number > 1:
            raise BudgetError(f"a budget of {f.name}={value} is more than the model costs; give a share up to 100%")


def kept_already(budget: Budget, original: object) -> dict[str, str]:
    """What ``Plan.left`` says where nothing had to change: "the model" -> that it costs no more, and what.

    Args:
        budget: the model keeps it.
        original: its cost, as for ``Budget.limits``; latency need not be measured.
    """
    counted = {f.name: getattr(budget, f.name) for f in fields(budget) if f.name != "latency_ms"}
    counted = {name: value for name, value in counted.items() if value is not None}
    limits = Budget(**counted).limits(original) if counted else {}
    told = [f"{name} {getattr(original, name):,} of {limit:,.0f}" for name, limit in limits.items()]
    told += [] if budget.latency_ms is None else [f"latency_ms of {budget.latency_ms}"]
    return {"the model": f"costs no more than the budget allows already ({', '.join(told)}): nothing to do"}


def _share_or_number(name: str, value: float | str) -> tuple[bool, float]:
    """(is a share, value)."""
    if isinstance(value, bool):
        raise BudgetError(f"{name}={value!r} is no number; write {name}=0.5, {name}='50%' or an absolute number")
    share = isinstance(value, str) and value.strip().endswith("%")
    try:
        number = float(value.strip().removesuffix("%")) / 100 if isinstance(value, str) and share else float(value)
    except (TypeError, ValueError):
        raise BudgetError(
            f"{name}={value!r} is no number; write {name}=0.5, {name}='50%' or an absolute number"
        ) from None
    if not math.isfinite(number) or number <= 0:
        raise BudgetError(f"{name}={value!r} must be positive; a float ≤ 1 or '50%' is a share of the original")
    is_float = isinstance(value, float) or (isinstance(value, str) and not value.strip().isdigit())
    return share or (is_float and number <= 1), number
