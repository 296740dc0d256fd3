"""The methods that a recipe can name, with the parameters that each has: a table, not a registry.

Names, parameters and defaults are mergekit's where both have the method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from torch import Tensor

from ..errors import InputError
from .averaging import averaging
from .breadcrumbs import middle
from .chunks import Chunks, Kernel, Method
from .dare import at_random
from .della import by_rank, in_rows
from .model_stock import stocking
from .slerp import slerping
from .task_vectors import Thin, adding
from .ties import largest

REQUIRED: Final = object()
Shared = Mapping[str, Any]
Each = Sequence[Mapping[str, Any]]
"""Parameters of each model, without the base where there is one."""


@dataclass(frozen=True)
class MergeMethod:
    """One method of the table.

    Attributes:
        build: (shared parameters, parameters of each model, seed) -> the method.
        base: the base comes first among the sources and has no parameters of its own.
        least, most: how many models, the base not counted; most None: any number.
        shared: parameter -> default.
        each: parameter of every model -> default; REQUIRED has none.
    """

    build: Callable[[Shared, Each, int], Method]
    base: bool
    least: int = 1
    most: int | None = None
    shared: Mapping[str, Any] = field(default_factory=dict)
    each: Mapping[str, Any] = field(default_factory=dict)


def _linear(shared: Shared, each: Each, seed: int) -> Method:
    return averaging([e["weight"] for e in each], normalize=shared["normalize"])


def _slerp(shared: Shared, each: Each, seed: int) -> Method:
    return slerping(shared["t"])


def _stock(shared: Shared, each: Each, seed: int) -> Method:
    if shared["filter_wise"]:
        raise InputError("filter_wise of model_stock is not there; leave it out: one ratio for each tensor")
    return stocking()


def _passthrough(shared: Shared, each: Each, seed: int) -> Method:
    scale = each[0]["scale"]

    def prepare(chunks: Chunks) -> tuple[Chunks, Kernel]:
        def kernel(chunk: list[Tensor]) -> Tensor:
            return chunk[0] if scale is None else chunk[0].to(chunks.work).mul(scale)

        return chunks, kernel

    return prepare


def _vectors(
    thin: Callable[[Mapping[str, Any], int], Thin | None], elect: bool
) -> Callable[[Shared, Each, int], Method]:
    def build(shared: Shared, each: Each, seed: int) -> Method:
        return adding(
            [e["weight"] for e in each],
            thin=[thin(e, seed) for e in each],
            elect=elect,
            normalize=shared["normalize"],
            rescale=shared["rescale"],
            scale=shared["lambda"],
        )

    return build


def _rows(build: Callable[[Shared, Each, int], Method]) -> Callable[[Shared, Each, int], Method]:
    return lambda shared, each, seed: in_rows(build(shared, each, seed))


def _task(
    thin: Callable[[Mapping[str, Any], int], Thin | None],
    *,
    elect: bool = False,
    normalize: bool = False,
    rescale: bool = False,
    rows: bool = False,
    **each: float,
) -> MergeMethod:
    build = _vectors(thin, elect)
    return MergeMethod(
        build=_rows(build) if rows else build,
        base=True,
        # int8_mask saves mergekit memory; here masks are never kept, so it changes nothing.
        shared={"normalize": normalize, "rescale": rescale, "lambda": 1.0, "int8_mask": False},
        each={"weight": REQUIRED, "density": 1.0, **each},
    )


def _all(each: Mapping[str, Any], seed: int) -> Thin | None:
    return None


def _largest(each: Mapping[str, Any], seed: int) -> Thin | None:
    return largest(each["density"])


def _random(each: Mapping[str, Any], seed: int) -> Thin | None:
    return at_random(each["density"], seed)


def _middle(each: Mapping[str, Any], seed: int) -> Thin | None:
    return middle(each["density"], each["gamma"])


def _ranked(each: Mapping[str, Any], seed: int) -> Thin | None:
    return by_rank(each["density"], each["epsilon"], seed)


METHODS: Final[Mapping[str, MergeMethod]] = {
    "linear": MergeMethod(_linear, base=False, shared={"normalize": True}, each={"weight": REQUIRED}),
    "slerp": MergeMethod(_slerp, base=True, most=1, shared={"t": REQUIRED}),
    "task_arithmetic": _task(_all),
    "ties": _task(_largest, elect=True, normalize=True),
    "dare_linear": _task(_random, rescale=True),
    "dare_ties": _task(_random, elect=True, rescale=True),
    "breadcrumbs": _task(_middle, gamma=0.01),
    "breadcrumbs_ties": _task(_middle, elect=True, gamma=0.01),
    "della": _task(_ranked, elect=True, normalize=True, rescale=True, rows=True, epsilon=0.15),
    "della_linear": _task(_ranked, rescale=True, rows=True, epsilon=0.15),
    "model_stock": MergeMethod(_stock, base=True, least=2, shared={"filter_wise": False}),
    "passthrough": MergeMethod(_passthrough, base=False, most=1, each={"scale": None}),
}
