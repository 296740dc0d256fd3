"""What mergekit 0.1.5 made of a base and three models in float32 (combining/mergekit_values.safetensors)."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file

VALUES = load_file(Path(__file__).parent / "combining" / "mergekit_values.safetensors")
BASE, MODELS, WEIGHTS = VALUES["base"], [VALUES[f"x{i}"] for i in range(3)], [0.7, 0.5, -0.2]
