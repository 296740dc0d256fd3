"""What data says: batches, forwards in step, second moments."""

from .batches import calibration_batches, device_of, examples_in, inputs_of
from .divergence import divergence, first_output, mean_divergence
from .moments import Moments, ridge
from .resuming import Checkpoint, advance, resume
from .stepping import Forward, Stop

__all__ = [
    "Checkpoint",
    "Forward",
    "Moments",
    "Stop",
    "advance",
    "calibration_batches",
    "device_of",
    "divergence",
    "examples_in",
    "first_output",
    "inputs_of",
    "mean_divergence",
    "resume",
    "ridge",
]
