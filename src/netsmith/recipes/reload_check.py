"""Load a saved model in a fresh process and compare its outputs bit by bit.

A fresh process, because the one that saved the model cannot show that the files are enough.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..data.running import call, eval_mode
from ..errors import FileError
from ..files import load

EQUAL, DIFFERENT = 0, 3
SOURCE_FOLDER = Path(__file__).parents[2]
TIMEOUT_S = 120


def reloads_bit_equal(
    folder: str | Path, build: str, options: Mapping[str, Any], *, model: nn.Module, inputs: Tensor
) -> bool:
    """Whether the model loaded from ``folder`` in a fresh process answers exactly as ``model`` does here.

    Args:
        folder: what ``netsmith.save`` wrote.
        build: "package.module:function" that makes the model as it was before the plan.
        options: keyword arguments of ``build``; numbers, strings, lists.
        model: the saved model, in this process.
        inputs: one tensor to run both on.

    Raises:
        FileError: the other process failed; the message ends with what it said.
    """
    with eval_mode(model), torch.no_grad():
        outputs = call(model, inputs)
    with tempfile.TemporaryDirectory() as scratch:
        probe = Path(scratch) / "probe.safetensors"
        save_file({"inputs": inputs.contiguous(), "outputs": outputs.contiguous()}, probe)
        job = json.dumps(
            {
                "folder": str(folder),
                "build": build,
                "options": dict(options),
                "probe": str(probe),
                # Sums are split by the number of threads, and floating point depends on the split.
                "threads": torch.get_num_threads(),
            }
        )
        paths = [str(SOURCE_FOLDER), os.environ.get("PYTHONPATH", "")]
        done = subprocess.run(
            [sys.executable, "-c", f"from {__name__} import check; check()", job],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    if done.returncode not in (EQUAL, DIFFERENT):
        last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise FileError(f"{folder} could not be loaded in a fresh process: {last}")
    return done.returncode == EQUAL


def check() -> None:
    """The fresh process: load, run, compare, answer by exit code."""
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    probe = load_file(job["probe"])
    model = load(job["folder"], lambda: resolve_name(job["build"])(**job["options"]))
    with torch.no_grad():
        outputs = model(probe["inputs"])
    same = outputs.dtype == probe["outputs"].dtype and _bits(outputs) == _bits(probe["outputs"])
    sys.exit(EQUAL if same else DIFFERENT)


def _bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()
