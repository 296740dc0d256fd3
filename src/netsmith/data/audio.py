"""Encoded recording -> tensor, with the standard library alone."""

from __future__ import annotations

import io
import wave

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..errors import InputError


def decode_wav(source: bytes, where: str, *, length: int | None = None) -> Tensor:
    """(channels, samples) float32 in -1..1 of a WAV file with 8- or 16-bit PCM samples.

    Args:
        source: the file's bytes.
        where: which recording this is, for messages.
        length: samples to cut to or to fill up to with zeros at the end; None: as recorded.

    Raises:
        InputError: no WAV file, another sample format, or truncated.
    """
    try:
        with wave.open(io.BytesIO(source)) as file:
            channels, width, frames = file.getnchannels(), file.getsampwidth(), file.getnframes()
            raw = file.readframes(frames)
    except (wave.Error, EOFError, ValueError) as error:
        raise InputError(f"{where} cannot be read as a WAV file: {error or 'truncated'}") from error
    if width not in (1, 2):
        raise InputError(f"{where} has {8 * width}-bit samples; 8- and 16-bit PCM can be read. Convert it first")
    if not raw or len(raw) != frames * channels * width:
        raise InputError(
            f"{where} cannot be read as a WAV file: it holds {len(raw)} of {frames * channels * width} bytes"
        )
    if width == 2:
        samples = torch.frombuffer(bytearray(raw), dtype=torch.int16).float() / 2**15
    else:  # 8-bit WAV is unsigned
        samples = (torch.frombuffer(bytearray(raw), dtype=torch.uint8).float() - 128) / 2**7
    samples = samples.view(-1, channels).T.contiguous()  # (channels, samples)
    if length is not None:
        samples = pad(samples[:, :length], (0, max(0, length - samples.shape[1])))
    return samples
