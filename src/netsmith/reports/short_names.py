"""Names of axes as people read them."""

from __future__ import annotations

from collections import Counter

_SUFFIXES = (".weight:0", ".bias:0", ".weight", ":0")


def short_names(names: list[str]) -> dict[str, str]:
    """Axis -> its name without the tensor and dimension at the end, where that stays unique.

    "layer1.0.conv1.weight:0" is read as "layer1.0.conv1".
    """
    short = {
        name: next((name.removesuffix(s) for s in _SUFFIXES if name.endswith(s) and name != s), name) for name in names
    }
    count = Counter(short.values())
    return {name: brief if count[brief] == 1 else name for name, brief in short.items()}
