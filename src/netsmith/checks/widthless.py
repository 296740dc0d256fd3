"""Makes functions whose result depends on how many units there are depend only on what the units are.

A layer normalization divides by statistics of all its units, so a network with units removed is not the original with
those units at zero, however right the surgery. With every such statistic replaced by a stand-in that ignores zeros
(a mean by a sum, a normalization by one with a fixed count) both must agree again. That is how surgery behind
normalizations is proved exactly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch.overrides import TorchFunctionMode

from ..wiring.capture import transparent_functional
from ..wiring.recorder import function_name
from .stand_ins import STAND_INS

# products and quotients with a plain number: the number may have been computed from a width, so it counts as one
_SCALINGS = frozenset(
    "mul mul_ multiply div div_ divide true_divide __mul__ __rmul__ __imul__ __truediv__ __itruediv__ __div__".split()
)


class _StandIns(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = function_name(func)
        if name in _SCALINGS and len(args) == 2 and not kwargs:
            numbers = [a for a in args if isinstance(a, (int, float)) and not isinstance(a, bool)]
            if numbers and numbers[0] > 0:
                args = tuple(1.0 if a is numbers[0] else a for a in args)
        return STAND_INS.get(name, func)(*args, **(kwargs or {}))


@contextlib.contextmanager
def widthless() -> Iterator[None]:
    """While it is open, statistics over units are replaced by their stand-ins."""
    with transparent_functional(), _StandIns():
        yield
