"""How structures are proposed: one plain function a file, ``(problem, judge, trials, seed) -> None``.

A strategy proposes generations of structures and looks at what ``judge`` found of them. How many belong to a generation
never depends on how many are judged at a time, so the same seed gives the same study on any number of processes.
"""

from collections.abc import Callable, Mapping

from ..candidate import Judge
from ..problem import Problem
from .allocation import allocation
from .evolution import evolution
from .nsga2 import nsga2
from .random import random
from .tpe import tpe
from .uniform import uniform

Strategy = Callable[[Problem, Judge, int, int], None]
"""(problem, judge, trials, seed) -> None; what it found is what it had judged."""

STRATEGIES: Mapping[str, Strategy] = {
    "allocation": allocation,
    "evolution": evolution,
    "tpe": tpe,
    "nsga2": nsga2,
    "random": random,
    "uniform": uniform,
}

__all__ = ["STRATEGIES", "Strategy", "allocation", "evolution", "nsga2", "random", "tpe", "uniform"]
