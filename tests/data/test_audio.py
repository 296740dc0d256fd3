"""WAV -> tensor."""

from __future__ import annotations

import io
import struct
import wave

import pytest
import torch

from netsmith.data import decode_wav
from netsmith.errors import InputError


def wav(frames: bytes, channels: int = 1, width: int = 2) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(8000)
        file.writeframes(frames)
    return stream.getvalue()


def test_sixteen_bit_stereo_is_split_into_channels() -> None:
    source = wav(struct.pack("<4h", 16384, -32768, 0, 8192), channels=2)
    assert decode_wav(source, "here").tolist() == [[0.5, 0.0], [-1.0, 0.25]]


def test_eight_bit_is_unsigned() -> None:
    assert decode_wav(wav(bytes([128, 0, 192]), width=1), "here").tolist() == [[0.0, -1.0, 0.5]]


@pytest.mark.parametrize(("length", "expected"), [(2, [0.5, 0.25]), (4, [0.5, 0.25, 0.0, 0.0])])
def test_length_cuts_and_fills(length: int, expected: list[float]) -> None:
    source = wav(struct.pack("<3h", 16384, 8192, 0))
    assert torch.equal(decode_wav(source, "here", length=length), torch.tensor([expected]))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"RIFF", "row 3 cannot be read as a WAV file"),
        (wav(struct.pack("<4h", 1, 2, 3, 4))[:-4], "row 3 cannot be read as a WAV file"),
        (wav(b"\0" * 12, width=3), "24-bit samples; 8- and 16-bit"),
    ],
)
def test_bad_recordings_are_named(source: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_wav(source, "row 3")
