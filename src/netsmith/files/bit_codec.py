"""Masks of single weights as text: bits, compressed, in base64."""

from __future__ import annotations

import base64
import binascii
import zlib

from ..errors import PlanError


def encode_bits(bits: bytes) -> str:
    """Text for a plan file."""
    return base64.b64encode(zlib.compress(bits, 9)).decode("ascii")


def decode_bits(text: str, count: int) -> bytes:
    """The bytes of ``count`` bits; never more memory than that, whatever the text says.

    Raises:
        PlanError: the text is no such bits, or holds another number of them.
    """
    size = (count + 7) // 8
    reader = zlib.decompressobj()
    try:
        bits = reader.decompress(base64.b64decode(text, validate=True), size + 1)
    except (binascii.Error, zlib.error) as error:
        raise PlanError(f"a mask of weights is damaged ({error})") from error
    if len(bits) != size or (count % 8 and bits[-1] & (2 ** (8 - count % 8) - 1)):
        raise PlanError(f"a mask of weights does not hold {count} bits")
    return bits
