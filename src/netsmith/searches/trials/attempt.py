"""One attempt at a trial, the same wherever it runs: seeded by the trial's content, its result made plain JSON."""

from __future__ import annotations

import json
import random
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import NetsmithError
from .trial import Work, digest


@dataclass(frozen=True)
class Result:
    """What one attempt came to.

    Attributes:
        died: the process that ran it died, rather than the work raising.
    """

    values: dict[str, Any] | None
    seconds: float
    error: str | None = None
    died: bool = False


def attempt(work: Work, spec: Mapping[str, Any]) -> Result:
    """Run the work. What it raises becomes the result's error; the caller's random state is kept."""
    start = time.perf_counter()
    try:
        with _seeded(int(digest(spec)[:8], 16)):
            values = _plain(work(spec))
    except Exception as error:  # the work's own code
        return Result(None, time.perf_counter() - start, _in_words(error))
    return Result(values, time.perf_counter() - start)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds what work may draw from without saying so, so that it cannot matter which trial ran before."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002  the global one is what is kept
    try:
        with torch.random.fork_rng(devices=devices):
            torch.default_generator.manual_seed(seed)
            if devices:
                torch.cuda.manual_seed_all(seed)
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)  # noqa: NPY002


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As it would come back from a store or another machine."""
    if not isinstance(values, Mapping):
        raise TypeError(f"the work returned a {type(values).__name__}; return a dict of JSON values")
    try:
        return json.loads(json.dumps(dict(values)))
    except TypeError as error:
        raise TypeError(f"the work returned what JSON cannot hold ({error}); return e.g. float(x) of tensors") from None


def _in_words(error: Exception) -> str:
    if isinstance(error, NetsmithError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__}: {error} ({Path(frames[-1].filename).name}:{frames[-1].lineno})"
