"""Names of data sets."""

from __future__ import annotations


def validation_of(data: str) -> str | None:
    """What to measure on when only data is named: a split that the repair does not see, where one is known."""
    return "digits:validation" if data in ("digits", "digits:train") else None
