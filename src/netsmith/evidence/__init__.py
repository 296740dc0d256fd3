"""What data says: batches, forwards in step, second moments, activations, gradients."""

from .activation_file import load_activations, save_activations
from .activations import Activations, LayerInputs, activations
from .batches import as_data, calibration_batches, device_of, examples_in, inputs_of
from .divergence import divergence, divergence_of_examples, first_output, mean_divergence
from .gradients import gradients
from .influence import influence
from .moments import Moments, ridge
from .resuming import Checkpoint, advance, resume
from .similarity import similarity
from .stepping import Forward, Stop
from .weights import Weights

__all__ = [
    "Activations",
    "Checkpoint",
    "Forward",
    "LayerInputs",
    "Moments",
    "Stop",
    "Weights",
    "activations",
    "advance",
    "as_data",
    "calibration_batches",
    "device_of",
    "divergence",
    "divergence_of_examples",
    "examples_in",
    "first_output",
    "gradients",
    "influence",
    "inputs_of",
    "load_activations",
    "mean_divergence",
    "resume",
    "ridge",
    "save_activations",
    "similarity",
]
