"""What models cost: parameters, multiply-accumulates, bytes, measured time."""

from .cost import Cost
from .latency import latencies
from .measure import macs_of, measure, predict

__all__ = ["Cost", "latencies", "macs_of", "measure", "predict"]
