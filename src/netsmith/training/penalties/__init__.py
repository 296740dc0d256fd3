"""What drives weights, or whole units, to zero: functions that return (model, steps done) -> scalar."""

from .growing import growing
from .lasso import group_lasso
from .norms import l1, l2
from .slimming import slimming

__all__ = ["group_lasso", "growing", "l1", "l2", "slimming"]
