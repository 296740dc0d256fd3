"""What a plan.json may hold, field by field. Everything else is refused.

Strict: no string is read as a number, no field is ignored, no type but those here and in
``edit_schema`` can be named by a plan.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .edit_schema import EditEntry
from .fields import Entry, LayoutJson, Name, Number, Sha256, Units, Words

FORMAT = "netsmith-plan"
VERSION = 3  # 1 knew no edits of blocks and no plans before a plan, 2 no growth and no merges; they are read as well

MAX_STEPS = 64  # plans before a plan


class WeightsEntry(Entry):
    """How the tensors lie in model.safetensors.

    Attributes:
        file: always model.safetensors, so that a plan cannot point anywhere else.
        sha256: of that file.
        aliases: tensor name -> name under which the same (tied) tensor is stored.
        dim_orders: for tensors whose memory is not row-major (channels_last, transposed views), their dimensions from
            the outermost in memory to the innermost. Kernels may round differently for another memory order.
    """

    file: Literal["model.safetensors"]
    sha256: Sha256
    aliases: dict[Name, Name]
    dim_orders: dict[Name, list[Annotated[int, Field(ge=0, lt=64)]]]


class StepEntry(Entry):
    """One plan."""

    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{1,128}$")]
    edits: list[EditEntry]
    sizes: dict[Name, Units]
    layouts: dict[Name, list[LayoutJson]]
    attributes: dict[Name, Annotated[list[Number], Field(min_length=2, max_length=2)]]
    refitted: list[Name]
    left: dict[Name, Words]


class PlanEntry(StepEntry):
    """The whole file. ``checksum`` covers every other field (``plan_file.checksum``)."""

    format: Literal["netsmith-plan"]
    version: Literal[1, 2, 3]
    netsmith: Words
    before: Annotated[list[StepEntry], Field(max_length=MAX_STEPS)] = []
    weights: WeightsEntry | None
    checksum: Sha256
