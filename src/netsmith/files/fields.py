"""The fields of plan files that hold more than a bare value."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator

from .layout_codec import MAX_UNITS, check_name, check_number, check_printable, decode_layout

Name = Annotated[str, AfterValidator(check_name)]
Units = Annotated[int, Field(ge=1, le=MAX_UNITS)]
Index = Annotated[int, Field(ge=0, lt=MAX_UNITS)]
Number = Annotated[Any, PlainValidator(check_number)]  # a size, an offset (0), or a scale such as head_dim ** -0.5
Words = Annotated[str, Field(max_length=1000), AfterValidator(check_printable)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
LayoutJson = Annotated[Any, PlainValidator(decode_layout)]


class Entry(BaseModel):
    """Strict: no string is read as a number, no field is ignored."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
