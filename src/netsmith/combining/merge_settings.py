"""A parameter of a recipe for one tensor: a number, a curve over the layers, or either where a filter matches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..errors import InputError
from .merge_methods import REQUIRED

Scalar = bool | int | float | str


class Filtered(BaseModel):
    """A value for the tensors whose name contains ``filter``; without one, or with "*", for all that are left."""

    model_config = ConfigDict(extra="forbid", strict=True)
    value: Scalar | list[Scalar]
    filter: str | None = None


Setting = Scalar | list[Scalar] | Filtered | list[Filtered]


def setting_of(
    parameter: str, default: Any, settings: Iterable[Mapping[str, Setting] | None], tensor: str, share: float
) -> Any:
    """The value of a parameter for a tensor.

    Args:
        parameter: its name.
        default: its default, which says whether it is a number or a truth value; REQUIRED: a number without a default.
        settings: where to look, what comes first counts.
        tensor: name of the tensor, for filters.
        share: how deep its layer lies, 0 for the first and 1 for the last, for curves.

    Raises:
        InputError: no value and no default, or one of the wrong type.
    """
    for scope in settings:
        if scope is not None and parameter in scope:
            value = _value(scope[parameter], tensor, share, parameter, isinstance(default, bool))
            if value is not None:
                return value
    if default is REQUIRED:
        raise InputError(f"parameters: {parameter} is missing for {tensor}; this method has no default for it")
    return default


def _value(setting: Setting, tensor: str, share: float, parameter: str, truth: bool) -> Any:
    if isinstance(setting, Filtered):
        setting = [setting]
    if not isinstance(setting, list):
        return _scalar(setting, parameter, truth)
    for item in setting:
        if isinstance(item, Filtered):
            if item.filter in (None, "*") or str(item.filter) in tensor:
                return _value(item.value, tensor, share, parameter, truth)
    scalars = [_scalar(item, parameter, truth) for item in setting if not isinstance(item, Filtered)]
    if not scalars:
        return None
    at = share * (len(scalars) - 1)
    low = int(at)
    if truth:
        return scalars[low]
    high = min(len(scalars) - 1, low + 1)
    return (1 - (at - low)) * scalars[low] + (at - low) * scalars[high]


def _scalar(value: Any, parameter: str, truth: bool) -> Any:
    if truth:
        if isinstance(value, bool):
            return value
        raise InputError(f"parameters: {parameter} is true or false, not {value!r}")
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)  # YAML reads 1e-5 as text
    except ValueError:
        raise InputError(f"parameters: {parameter} is a number, not {value!r}") from None
