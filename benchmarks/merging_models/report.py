"""results.json of this folder, and results.md made from it."""

from __future__ import annotations

import json
import platform
from datetime import date
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent


def keep(part: str, found: dict[str, Any]) -> None:
    """Put one part's figures in results.json, with machine and date."""
    path = HERE / "results.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__.partition('+')[0]}"
    results[part] = {"machine": machine, "date": date.today().isoformat(), **found}
    path.write_text(json.dumps(results, indent=1) + "\n")
