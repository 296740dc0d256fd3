"""What a student is told to learn from a teacher: plain functions (student, teacher, y) -> scalar."""

from .correlation import correlation
from .cosine import cosine
from .decoupled import decoupled
from .softened import softened
from .tokens import tokens

__all__ = ["correlation", "cosine", "decoupled", "softened", "tokens"]
