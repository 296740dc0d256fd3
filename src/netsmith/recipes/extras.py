"""Optional packages that a recipe's steps need: asked for before the first step, not after hours of training."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from ..errors import missing_extra
from .reading import NamedStep, Recipe
from .schema import Export, Search

_ENGINES = {
    "onnx": ("onnx", ("onnx", "onnxscript", "onnxruntime")),
    "openvino": ("openvino", ("openvino",)),
    "executorch": ("executorch", ("executorch",)),
}


def check_extras(recipe: Recipe) -> None:
    """Refuse a recipe whose steps need packages that are not installed.

    Raises:
        MissingExtraError: names the line, the package and the extra that brings it.
    """
    for step in recipe.steps:
        for package, extra in _needs(step):
            if find_spec(package) is None:
                raise missing_extra(package, extra, f"{recipe.document.at(step.place)}: {step.name}")


def _needs(step: NamedStep) -> Iterator[tuple[str, str]]:
    """(package, extra)"""
    if step.kind == "quantize":
        yield "torchao", "quant"
    if isinstance(step.options, Search):
        yield "optuna", "search"  # which also keeps the trials
        if step.options.ray is not None:
            yield "ray", "ray"
    if isinstance(step.options, Export) and step.options.to in _ENGINES:
        extra, packages = _ENGINES[step.options.to]
        yield from ((package, extra) for package in packages)
        if step.options.int8 and extra == "openvino":
            yield "nncf", extra
