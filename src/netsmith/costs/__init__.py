"""What models cost: parameters, multiply-accumulates, bytes, measured time under several engines."""

from .cost import Cost
from .engines import ENGINES, Timing, compare_engines, fastest
from .latency import latencies
from .measure import macs_of, measure, predict

__all__ = ["ENGINES", "Cost", "Timing", "compare_engines", "fastest", "latencies", "macs_of", "measure", "predict"]
