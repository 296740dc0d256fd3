"""Data to calibrate, train and measure on: data sets, batches, and names that resolve to them."""

from .audio import decode_wav
from .batches import batches
from .digits import Examples, Splits, digits
from .imagefolder import ImageFolder, imagefolder
from .images import Pixels
from .mirroring import mirrored
from .parquet import Parquet, parquet
from .resolve import open_data
from .running import call, device_of, each_batch, eval_mode, logits, split_batch, to_device

__all__ = [
    "Examples",
    "ImageFolder",
    "Parquet",
    "Pixels",
    "Splits",
    "batches",
    "call",
    "decode_wav",
    "device_of",
    "digits",
    "each_batch",
    "eval_mode",
    "imagefolder",
    "logits",
    "mirrored",
    "open_data",
    "parquet",
    "split_batch",
    "to_device",
]
