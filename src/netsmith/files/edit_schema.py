"""What a plan.json says of each edit: one entry a kind, to and from the edit. ``kind`` tells them apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from math import prod
from typing import Annotated, Any, Literal

from pydantic import Field

from ..plans.edits import (
    Edit,
    FuseLayers,
    InsertBlock,
    InsertIdentity,
    MergeBlocks,
    RemoveBlock,
    RemoveBranch,
    ReplaceBlock,
    ResizeAxis,
    SetPrecision,
    Sparsify,
    WidenAxis,
)
from .bit_codec import decode_bits, encode_bits
from .fields import Entry, Index, Name, Units, Words
from .layout_codec import MAX_UNITS

Small = Annotated[int, Field(ge=1, le=64)]


class ResizeAxisEntry(Entry):
    kind: Literal["resize_axis"]
    axis: Name
    size: Units
    keep: list[Index]
    statistics: list[Words]

    def edit(self) -> ResizeAxis:
        return ResizeAxis(self.axis, self.size, tuple(self.keep), tuple(self.statistics))


class WidenAxisEntry(Entry):
    """Of ``divided`` the dimensions, by tensor."""

    kind: Literal["widen_axis"]
    axis: Name
    size: Units
    source: list[Index]
    share: list[Annotated[float, Field(gt=0, le=1)]]
    divided: dict[Name, list[Annotated[int, Field(ge=0, lt=64)]]]

    def edit(self) -> WidenAxis:
        divided = tuple((tensor, dim) for tensor, dims in self.divided.items() for dim in dims)
        return WidenAxis(self.axis, self.size, tuple(self.source), tuple(self.share), divided)


class RemoveBlockEntry(Entry):
    kind: Literal["remove_block"]
    block: Name
    delete: bool
    lists: list[Name]

    def edit(self) -> RemoveBlock:
        return RemoveBlock(self.block, self.delete, tuple(self.lists))


class MergeBlocksEntry(Entry):
    kind: Literal["merge_blocks"]
    block: Name
    into: Name
    how: Literal["average", "differences", "first"]
    delete: bool
    lists: list[Name]

    def edit(self) -> MergeBlocks:
        return MergeBlocks(self.block, self.delete, tuple(self.lists), self.into, self.how)


class RemoveBranchEntry(Entry):
    kind: Literal["remove_branch"]
    block: Name
    modules: Annotated[list[Name], Field(min_length=1, max_length=64)]
    returns: Annotated[list[Annotated[int, Field(ge=0, le=64)]], Field(min_length=1, max_length=64)]

    def edit(self) -> RemoveBranch:
        return RemoveBranch(self.block, tuple(self.modules), tuple(self.returns))


class ReplaceBlockEntry(Entry):
    kind: Literal["replace_block"]
    block: Name
    map: Literal["linear", "conv2d", "channels"]
    width: Units
    outputs: Units | None = None
    stride: Small = 1
    kernel: Small = 1

    def edit(self) -> ReplaceBlock:
        return ReplaceBlock(self.block, self.map, self.width, self.outputs, self.stride, self.kernel)


class InsertBlockEntry(Entry):
    kind: Literal["insert_block"]
    block: Name
    zeros: list[Name]
    lists: list[Name]
    numbers: dict[Name, int]

    def edit(self) -> InsertBlock:
        return InsertBlock(self.block, tuple(self.zeros), tuple(self.lists), tuple(self.numbers.items()))


class InsertIdentityEntry(Entry):
    kind: Literal["insert_identity"]
    block: Name
    layer: Literal["linear", "conv1d", "conv2d", "conv3d"]
    width: Units
    like: Name
    kernel: Annotated[list[Small], Field(max_length=3)]
    norm: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    limits: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=2, max_length=2)] | None
    rectified: bool

    def edit(self) -> InsertIdentity:
        limits = None if self.limits is None else (self.limits[0], self.limits[1])
        kernel = tuple(self.kernel)
        return InsertIdentity(self.block, self.layer, self.width, self.like, kernel, self.norm, limits, self.rectified)


class FuseLayersEntry(Entry):
    kind: Literal["fuse_layers"]
    layers: Annotated[list[Name], Field(min_length=1)]
    into: Name
    shape: Annotated[list[Units], Field(max_length=8)]
    then: list[Name]

    def edit(self) -> FuseLayers:
        return FuseLayers(tuple(self.layers), self.into, tuple(self.shape), tuple(self.then))


class SetPrecisionEntry(Entry):
    kind: Literal["set_precision"]
    tensor: Name
    use: Literal["linear", "embedding", "conv2d"]
    bits: Literal[8, 4]
    group: Annotated[int, Field(ge=0, le=MAX_UNITS)]
    clip: Literal["max", "percentile", "mse", "kl"]
    dynamic: bool

    def edit(self) -> SetPrecision:
        return SetPrecision(self.tensor, self.use, self.bits, self.group, self.clip, self.dynamic)


class SparsifyEntry(Entry):
    """``zeros`` are the edit's bits, compressed by zlib, in base64."""

    kind: Literal["sparsify"]
    tensor: Name
    shape: Annotated[list[Units], Field(min_length=1, max_length=8)]
    zeros: Annotated[str, Field(pattern="^[A-Za-z0-9+/]*={0,2}$")]
    pattern: Annotated[str, Field(pattern="^[0-9]{1,2}:[0-9]{1,2}$")] | None

    def edit(self) -> Sparsify:
        shape = tuple(self.shape)
        return Sparsify(self.tensor, shape, decode_bits(self.zeros, prod(shape)), self.pattern)


EditEntry = Annotated[
    ResizeAxisEntry
    | WidenAxisEntry
    | RemoveBlockEntry
    | MergeBlocksEntry
    | RemoveBranchEntry
    | ReplaceBlockEntry
    | InsertBlockEntry
    | InsertIdentityEntry
    | FuseLayersEntry
    | SetPrecisionEntry
    | SparsifyEntry,
    Field(discriminator="kind"),
]


def _resize_axis(edit: ResizeAxis) -> dict[str, Any]:
    keep = [int(unit) for unit in edit.keep]
    return {"axis": edit.axis, "size": int(edit.size), "keep": keep, "statistics": list(edit.statistics)}


def _widen_axis(edit: WidenAxis) -> dict[str, Any]:
    divided: dict[str, list[int]] = {}
    for tensor, dim in edit.divided:
        divided.setdefault(tensor, []).append(int(dim))
    source, share = [int(unit) for unit in edit.source], [float(share) for share in edit.share]
    return {"axis": edit.axis, "size": int(edit.size), "source": source, "share": share, "divided": divided}


def _remove_block(edit: RemoveBlock) -> dict[str, Any]:
    return {"block": edit.block, "delete": edit.delete, "lists": list(edit.lists)}


def _merge_blocks(edit: MergeBlocks) -> dict[str, Any]:
    return {**_remove_block(edit), "into": edit.into, "how": edit.how}


def _remove_branch(edit: RemoveBranch) -> dict[str, Any]:
    return {"block": edit.block, "modules": list(edit.modules), "returns": [int(n) for n in edit.returns]}


def _replace_block(edit: ReplaceBlock) -> dict[str, Any]:
    record = {"block": edit.block, "map": edit.kind, "width": int(edit.width)}
    if edit.outputs is None and edit.stride == edit.kernel == 1:
        return record
    outputs = None if edit.outputs is None else int(edit.outputs)
    return {**record, "outputs": outputs, "stride": int(edit.stride), "kernel": int(edit.kernel)}


def _insert_block(edit: InsertBlock) -> dict[str, Any]:
    numbers = {key: int(value) for key, value in edit.numbers}
    return {"block": edit.block, "zeros": list(edit.zeros), "lists": list(edit.lists), "numbers": numbers}


def _insert_identity(edit: InsertIdentity) -> dict[str, Any]:
    limits = None if edit.limits is None else [float(each) for each in edit.limits]
    norm = None if edit.norm is None else float(edit.norm)
    record = {"block": edit.block, "layer": edit.kind, "width": int(edit.width), "like": edit.like}
    kernel = [int(k) for k in edit.kernel]
    return {**record, "kernel": kernel, "norm": norm, "limits": limits, "rectified": edit.rectified}


def _fuse_layers(edit: FuseLayers) -> dict[str, Any]:
    shape = [int(n) for n in edit.shape]
    return {"layers": list(edit.layers), "into": edit.into, "shape": shape, "then": list(edit.then)}


def _sparsify(edit: Sparsify) -> dict[str, Any]:
    zeros = encode_bits(edit.zeros)
    return {"tensor": edit.tensor, "shape": list(edit.shape), "zeros": zeros, "pattern": edit.pattern}


_RECORDS: dict[type, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    ResizeAxis: ("resize_axis", _resize_axis),
    WidenAxis: ("widen_axis", _widen_axis),
    RemoveBlock: ("remove_block", _remove_block),
    MergeBlocks: ("merge_blocks", _merge_blocks),
    RemoveBranch: ("remove_branch", _remove_branch),
    ReplaceBlock: ("replace_block", _replace_block),
    InsertBlock: ("insert_block", _insert_block),
    InsertIdentity: ("insert_identity", _insert_identity),
    FuseLayers: ("fuse_layers", _fuse_layers),
    SetPrecision: ("set_precision", asdict),
    Sparsify: ("sparsify", _sparsify),
}
KINDS = tuple(kind for kind, _ in _RECORDS.values())


def edit_to_json(edit: Edit) -> dict[str, Any]:
    """The edit as JSON values."""
    kind, record = _RECORDS[type(edit)]
    return {"kind": kind, **record(edit)}
