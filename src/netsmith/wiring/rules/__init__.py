"""One plain function per family of torch functions says how its dimensions relate.

A rule gets a ``Call`` and returns the dimensions of its output (a list of them for several outputs, None for none).
Ties between inputs are made by ``spaces.unify``. A function without a rule freezes what it touches, and so does a rule
that raises: never a wrong result, only less to prune. The table maps a name (or a function) to a rule; callers extend
a copy with ``trace(..., rules={torch.roll: my_rule})``.
"""

from __future__ import annotations

from ..recorder import Rule
from . import (
    contraction,
    creation,
    gathering,
    indexing,
    joining,
    layout,
    norms,
    pointwise,
    recurrent,
    reduction,
    spatial,
    transforms,
)

DEFAULT_RULES: dict[str, Rule] = {}
for _family in (
    reduction,
    pointwise,
    contraction,
    norms,
    spatial,
    layout,
    joining,
    indexing,
    gathering,
    creation,
    recurrent,
    transforms,
):
    DEFAULT_RULES |= _family.RULES

__all__ = ["DEFAULT_RULES"]
