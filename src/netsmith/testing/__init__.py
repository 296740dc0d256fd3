"""Contracts that ship: what a rule or a score of your own has to keep, each in one call."""

from .rules import check_rule
from .scores import check_score, toy_axis
from .toys import Toy, toy

__all__ = ["Toy", "check_rule", "check_score", "toy", "toy_axis"]
