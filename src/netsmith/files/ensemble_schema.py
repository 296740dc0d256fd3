"""What an ensemble.json may hold, field by field. Everything else is refused.

The file says how an ensemble is put together; every number that was learnt or chosen (weights, temperatures,
thresholds, trees) is a tensor in model.safetensors. Members of one's own are named, never described: whoever loads the
file gives the function that builds each.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from .fields import Entry, Name, Sha256, Units, Words
from .plan_schema import WeightsEntry

FORMAT = "netsmith-ensemble"
VERSION = 1
MAX_MEMBERS = 4096
Grown = Annotated[int, Field(ge=1, le=2**24)]  # trees, and nodes of one


class BuiltEntry(Entry):
    """A member that the caller builds. ``made_by``: class of the model, for people; it is never imported."""

    kind: Literal["built"]
    made_by: Words
    plan: dict[str, Any] | None  # checked by plan_file.parse


class TreesEntry(Entry):
    """A ``TreeEnsemble``."""

    kind: Literal["trees"]
    trees: Grown
    nodes: Grown
    classes: Units
    depth: Annotated[int, Field(ge=0, le=10_000)]
    inputs: Units


class _Group(Entry):
    members: Annotated[dict[Name, Member], Field(min_length=1, max_length=MAX_MEMBERS)]


class ParallelEntry(_Group):
    """A ``Parallel``. ``batched``: its members run as one batch."""

    kind: Literal["parallel"]
    rule: Literal["probabilities", "geometric", "logits", "vote", "mean", "median"]
    batched: bool


class AdditiveEntry(_Group):
    """An ``Additive``."""

    kind: Literal["additive"]
    classes: Units


class CascadeEntry(_Group):
    """A ``Cascade``."""

    kind: Literal["cascade"]
    measure: Literal["probability", "margin", "entropy", "agreement"]
    combine: Literal["last", "mean"]


class StackEntry(_Group):
    """A ``Stack``. ``inputs`` and ``outputs``: of its linear layer."""

    kind: Literal["stack"]
    features: Literal["log_probabilities", "probabilities"]
    inputs: Units
    outputs: Units


class MixtureEntry(_Group):
    """A ``Mixture``. ``linear``: inputs of a linear gate on the members' scores; ``gate``: a gate of the caller's."""

    kind: Literal["mixture"]
    linear: Units | None
    gate: BuiltEntry | None


Group = ParallelEntry | AdditiveEntry | CascadeEntry | StackEntry | MixtureEntry
Member = Annotated[BuiltEntry | TreesEntry | Group, Field(discriminator="kind")]
Root = Annotated[Group, Field(discriminator="kind")]


class EnsembleEntry(Entry):
    """The whole file. ``checksum`` covers every other field (``plan_file.checksum``)."""

    format: Literal["netsmith-ensemble"]
    version: Literal[1]
    netsmith: Words
    ensemble: Root
    weights: WeightsEntry
    checksum: Sha256


for _group in (ParallelEntry, AdditiveEntry, CascadeEntry, StackEntry, MixtureEntry, EnsembleEntry):
    _group.model_rebuild()
