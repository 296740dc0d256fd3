"""What models cost: parameters, multiply-accumulates, bytes, measured time."""

from .cost import Cost
from .latency import latencies
from .measure import measure, predict

__all__ = ["Cost", "latencies", "measure", "predict"]
