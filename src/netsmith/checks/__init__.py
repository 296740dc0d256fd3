"""Is it true: promises of edits, and accuracy on data."""

from .verdict import Check, Verdict
from .verify import verify

__all__ = ["Check", "Verdict", "verify"]
