"""What ``verify`` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["exact", "exact up to statistics", "stated error", "ok", "failed"]


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        name: "structure", "attributes", "weights", "outputs" or "runs".
        status: "failed", or how strictly it holds. "exact up to statistics": equal once normalizations, means and
            default attention scales over changed axes are held fixed. "stated error": as far from the original as the
            detail says; so much follows from rounding.
        detail: the figures, or what is wrong and where.
    """

    name: str
    status: Status
    detail: str


@dataclass(frozen=True)
class Verdict:
    """All checks of one edited model. ``bool(verdict)`` is whether none failed."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.status != "failed" for check in self.checks)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        lines = ["The edited model keeps its promise." if self.ok else "The edited model BREAKS its promise."]
        return "\n".join(lines + [f"  {check.name:<11} {check.status:<23} {check.detail}" for check in self.checks])
