"""What a plan.json may hold, field by field. Everything else is refused.

Strict: no string is read as a number, no field is ignored, no type outside this file can be named by a plan.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator

from .layout_codec import MAX_UNITS, check_name, check_number, check_printable, decode_layout

FORMAT = "netsmith-plan"
VERSION = 2  # 1 knew no edits of blocks and no plans before a plan; it is read as well

MAX_STEPS = 64  # plans before a plan

Name = Annotated[str, AfterValidator(check_name)]
Units = Annotated[int, Field(ge=1, le=MAX_UNITS)]
Index = Annotated[int, Field(ge=0, lt=MAX_UNITS)]
Number = Annotated[Any, PlainValidator(check_number)]  # a size, an offset (0), or a scale such as head_dim ** -0.5
Words = Annotated[str, Field(max_length=1000), AfterValidator(check_printable)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
LayoutJson = Annotated[Any, PlainValidator(decode_layout)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ResizeAxisEntry(_Entry):
    """One ``ResizeAxis``. ``kind`` tells edits apart."""

    kind: Literal["resize_axis"]
    axis: Name
    size: Units
    keep: list[Index]
    statistics: list[Words]


class RemoveBlockEntry(_Entry):
    """One ``RemoveBlock``."""

    kind: Literal["remove_block"]
    block: Name
    delete: bool
    lists: list[Name]


class ReplaceBlockEntry(_Entry):
    """One ``ReplaceBlock``."""

    kind: Literal["replace_block"]
    block: Name
    map: Literal["linear", "conv2d", "channels"]
    width: Units


class SetPrecisionEntry(_Entry):
    """One ``SetPrecision``."""

    kind: Literal["set_precision"]
    tensor: Name
    use: Literal["linear", "embedding", "conv2d"]
    bits: Literal[8, 4]
    group: Annotated[int, Field(ge=0, le=MAX_UNITS)]
    clip: Literal["max", "percentile", "mse", "kl"]
    dynamic: bool


class SparsifyEntry(_Entry):
    """One ``Sparsify``; ``zeros`` are its bits, compressed by zlib, in base64."""

    kind: Literal["sparsify"]
    tensor: Name
    shape: Annotated[list[Units], Field(min_length=1, max_length=8)]
    zeros: Annotated[str, Field(pattern="^[A-Za-z0-9+/]*={0,2}$")]
    pattern: Annotated[str, Field(pattern="^[0-9]{1,2}:[0-9]{1,2}$")] | None


KINDS = ("resize_axis", "remove_block", "replace_block", "set_precision", "sparsify")
EditEntry = Annotated[
    ResizeAxisEntry | RemoveBlockEntry | ReplaceBlockEntry | SetPrecisionEntry | SparsifyEntry,
    Field(discriminator="kind"),
]


class WeightsEntry(_Entry):
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


class StepEntry(_Entry):
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
    version: Literal[1, 2]
    netsmith: Words
    before: Annotated[list[StepEntry], Field(max_length=MAX_STEPS)] = []
    weights: WeightsEntry | None
    checksum: Sha256
