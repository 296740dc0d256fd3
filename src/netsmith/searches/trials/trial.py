"""What a search asks to be tried, and what came of it: plain JSON, so that it can travel and be kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import InputError

Work = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Trial:
    """One thing to try.

    Attributes:
        number: its place in the search; no two trials of a call share one.
        spec: JSON values that say everything about it: two trials with the same spec have the same outcome.
    """

    number: int
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of a trial. Two outcomes are equal if they differ in their seconds alone.

    Attributes:
        number: of its trial.
        values: what the work returned, as JSON gives it back (lists for tuples); None where it failed.
        seconds: that the work took.
        error: why it failed, in words; None where it did not.
    """

    number: int
    values: dict[str, Any] | None
    seconds: float = field(compare=False)
    error: str | None = None


def digest(content: Any) -> str:
    """SHA-256 of JSON values: the same for equal values, in whatever order a mapping holds its keys.

    Raises:
        InputError: not JSON; says what.
    """
    return hashlib.sha256(_text(content).encode()).hexdigest()


def as_json(spec: Mapping[str, Any]) -> dict[str, Any]:
    """As it would come back from a store or another machine: lists for tuples, str for the keys of mappings."""
    return json.loads(_text(dict(spec)))


def _text(content: Any) -> str:
    try:
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{str(content)[:80]} is not made of JSON values ({error}); use str, int, finite float, bool, None, lists "
            "and dicts with str keys"
        ) from error
