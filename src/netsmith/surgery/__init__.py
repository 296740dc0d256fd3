"""Does what a plan says, to a copy."""

from .apply import apply, check_fits
from .permute import permute

__all__ = ["apply", "check_fits", "permute"]
