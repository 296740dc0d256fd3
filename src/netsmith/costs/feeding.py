"""What all foreign engines share: inputs by name, and converters that keep quiet."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import torch

from ..errors import CaptureError
from ..wiring.inputs import as_arguments
from ..wiring.recorder import tensors_in


def feed(names: Sequence[str], inputs: Any) -> dict[str, Any]:
    """Name of an input in the file -> NumPy array: keywords by name, others in order.

    Raises:
        CaptureError: the file's inputs are not those of the call.
    """
    args, kwargs = as_arguments(inputs)
    if kwargs:
        if not all(isinstance(kwargs.get(name), torch.Tensor) for name in names):
            raise CaptureError(
                f"the exported graph reads inputs named {', '.join(names)}, the call gives {', '.join(kwargs)}; give "
                "positional inputs (a tuple of tensors) instead of keywords"
            )
        return {name: kwargs[name].detach().cpu().numpy() for name in names}
    given = tensors_in((args, kwargs))
    if len(given) != len(names):
        raise CaptureError(
            f"the exported graph reads {len(names)} inputs ({', '.join(names)}), the example inputs hold {len(given)} "
            "tensors; leave out those that forward does not use"
        )
    return {name: tensor.detach().cpu().numpy() for name, tensor in zip(names, given, strict=True)}


@contextmanager
def quiet() -> Iterator[None]:
    """The converters' own notes and bars stay off stdout, which may be somebody's JSON."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
