"""Trials: what a search tries, run by one process, many or many machines, and kept so that it can go on later."""

from .run import run_trials
from .trial import Outcome, Trial, digest

__all__ = ["Outcome", "Trial", "digest", "run_trials"]
