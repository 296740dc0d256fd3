"""Which layer a tensor belongs to, from its name: ``model.layers.17.mlp.up_proj.weight`` -> 17."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import InputError

_NUMBERED = re.compile(r"^(.*?)\.(\d+)\.(.+)$")
_BEFORE = ("embed", "wte", "wpe", "conv1", "stem")  # in names of what comes before the layers


@dataclass(frozen=True)
class LayerNames:
    """How a checkpoint names its layers.

    Attributes:
        prefix: what stands before the number, without the dot; None where no names are numbered.
        count: layers.
    """

    prefix: str | None
    count: int

    def layer(self, name: str) -> int | None:
        """The layer of a tensor; None for what lies outside the layers."""
        match = _NUMBERED.match(name)
        return int(match[2]) if match and match[1] == self.prefix else None

    def at(self, name: str, layer: int) -> str:
        """The tensor's name in another layer."""
        match = _NUMBERED.match(name)
        return f"{match[1]}.{layer}.{match[3]}" if match else name


def layer_names(names: Iterable[str]) -> LayerNames:
    """The list of layers that holds the most tensors."""
    matches = [match for name in names if (match := _NUMBERED.match(name))]
    if not matches:
        return LayerNames(None, 0)
    prefix = Counter(match[1] for match in matches).most_common(1)[0][0]
    numbers = {int(match[2]) for match in matches if match[1] == prefix}
    return LayerNames(prefix, max(numbers) + 1)


def comes_before(name: str) -> bool:
    """Of a tensor outside the layers: it is read before them (an embedding), not after."""
    return any(word in name for word in _BEFORE)


def check_range(layer_range: Sequence[int], names: LayerNames, model: str) -> None:
    """Raise InputError where a model has fewer layers."""
    if layer_range[1] > names.count:
        raise InputError(f"layer_range {list(layer_range)}: {model} has {names.count} layers")
