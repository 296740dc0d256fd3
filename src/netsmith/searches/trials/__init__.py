"""Trials: what a search tries, run by one process, many or many machines, and kept so that it can go on later."""

from .run import Runner, run_trials
from .store import Store
from .trial import Outcome, Trial, digest

__all__ = ["Outcome", "Runner", "Store", "Trial", "digest", "run_trials"]
