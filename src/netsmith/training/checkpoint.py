"""The checkpoint of a run: one safetensors file, tensors and a JSON header, never a pickle.

It is written beside the last one and then takes its place in one move, so that whenever the process dies there is a
whole checkpoint. What it holds is checked before anything is used: a file from a stranger can at worst be refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import FileError, InputError

FILE = "checkpoint.safetensors"
_HEADER = "netsmith.training"
_VERSION = 1


@dataclass
class Position:
    """How far a run is.

    Attributes:
        step: updates of the weights done.
        epoch: passes over the data done.
        group: steps done of the pass that is under way.
        best: the highest score of a validation so far.
        idle: validations since then.
        validated: the step of the last validation; -1 before the first.
        finished: nothing is left to do.
    """

    step: int = 0
    epoch: int = 0
    group: int = 0
    best: float | None = None
    idle: int = 0
    validated: int = -1
    finished: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """What is in the file.

    Attributes:
        position: how far the run was.
        deciding: the options that decide the result.
        processes: how many wrote it; each has a random state.
        scaler: numbers of the loss scaling of fp16; empty otherwise.
        tensors: "model/NAME", "beside/NAME", "best/NAME", "optimizer/INDEX/KEY", "random/cpu", "random/cuda".
    """

    position: Position
    deciding: Mapping[str, Any]
    processes: int
    scaler: Mapping[str, float]
    tensors: Mapping[str, Tensor]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Put the checkpoint in the place of the last one.

    Raises:
        FileError: it cannot be written.
    """
    from safetensors.torch import save_file

    header = {
        "version": _VERSION,
        "position": asdict(checkpoint.position),
        "deciding": dict(checkpoint.deciding),
        "processes": checkpoint.processes,
        "scaler": dict(checkpoint.scaler),
    }
    # Copies of their own: safetensors refuses tensors that share memory, as slices of one another do.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in checkpoint.tensors.items()}
    unfinished = folder / f"{FILE}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, unfinished, metadata={_HEADER: json.dumps(header)})
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(folder / FILE)
    except OSError as error:
        raise FileError(f"the checkpoint cannot be written to {folder}: {error.strerror or error}") from error


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The last whole checkpoint in a folder; None where there is none yet.

    Raises:
        FileError: damaged, or not one that this version wrote.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            # Copies: what is mapped from a file that someone cuts short would end the process.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - it is no dict
        if header["version"] != _VERSION:
            raise FileError(f"{path} is of version {header['version']!r}, and this netsmith reads {_VERSION}")
        return Checkpoint(
            _position(header["position"]),
            {str(k): v for k, v in header["deciding"].items()},
            _whole(header["processes"]),
            {str(k): float(v) for k, v in header["scaler"].items()},
            tensors,
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(
            f"{path} is no whole checkpoint of netsmith ({type(error).__name__}: {error}); "
            "delete it to start from the beginning"
        ) from error


def check_belongs(checkpoint: Checkpoint, deciding: Mapping[str, Any], processes: int, folder: Path) -> None:
    """Refuse to go on where the result would be another than that of the run that was begun.

    Raises:
        InputError: other options, or another number of processes.
    """
    names = sorted({*deciding, *checkpoint.deciding})
    other = [
        f"{name}={checkpoint.deciding.get(name)!r} then, {deciding.get(name)!r} now"
        for name in names
        if checkpoint.deciding.get(name) != deciding.get(name)
    ]
    if checkpoint.processes != processes:
        other.append(f"{checkpoint.processes} processes then, {processes} now")
    if other:
        raise InputError(
            f"the checkpoint in {folder} is of another run ({'; '.join(other)}); "
            "go on with the same options, or give another folder"
        )


def _position(given: Mapping[str, Any]) -> Position:
    if set(given) != {f.name for f in fields(Position)}:
        raise ValueError(f"the position has entries {sorted(given)}")
    best, finished = given["best"], given["finished"]
    if not (best is None or type(best) in (float, int)) or type(finished) is not bool:
        raise ValueError("the position has values of the wrong type")
    validated = -1 if given["validated"] == -1 else _whole(given["validated"])
    counts = {name: _whole(given[name]) for name in ("step", "epoch", "group", "idle")}
    return Position(**counts, best=best, validated=validated, finished=finished)


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no whole number ≥ 0")
    return value
