"""``taylor`` or ``package.module:function`` -> the score."""

from __future__ import annotations

from functools import partial, wraps
from typing import Any

from ..sources.functions import call_user, find_function
from .named import score_named


def addressed_score(text: str) -> Any:
    """One of ours by its name, or the caller's own by its address; its errors then name the address.

    Raises:
        UnknownNameError: neither.
    """
    if ":" not in text:
        return score_named(text)
    function = find_function(text)
    return wraps(function)(
        lambda axis, weights, **evidence: call_user(text, partial(function, **evidence), axis, weights)
    )
