"""Fourier transforms, complex views, strided views."""

from __future__ import annotations

from collections.abc import Callable

import torch

from wiring.rules.exercise import Case, exercise


def fourier(name: str, *more: object) -> Callable:
    """Real and imaginary part of the transform of a real tensor."""

    def call(a: torch.Tensor) -> torch.Tensor:
        out = getattr(torch.fft, name)(a, *more)
        return torch.view_as_real(out.resolve_conj()) if out.is_complex() else out

    return call


ONE = "fft ifft rfft irfft hfft ihfft"
TWO = "fft2 ifft2 rfft2 irfft2"
ALL = "fftn ifftn rfftn irfftn fftshift ifftshift"
CASES = [Case(f"fft_{name}", fourier(name), ((4, 6, 8),), 2) for name in ONE.split()]
CASES += [Case(f"fft_{name}", fourier(name, None, 1), ((4, 6, 8),), 2, label="dim 1") for name in ONE.split()]
CASES += [Case(f"fft_{name}", fourier(name), ((4, 6, 8),), 1) for name in TWO.split()]
CASES += [Case(f"fft_{name}", fourier(name), ((4, 6, 8),), 0) for name in ALL.split()]
CASES += [
    Case("fft_fftshift", fourier("fftshift", 1), ((4, 6, 8),), 2, label="dim 1"),
    Case("fft_rfftn", fourier("rfftn", None, (0, 1)), ((4, 6, 8),), 1, label="dims 0 and 1"),
    Case("view_as_real", lambda a, b: torch.view_as_real(torch.complex(a, b)), ((4, 6), (6,)), 2),
    Case("complex", lambda a, b: torch.complex(a, b).real, ((4, 6), (6,)), 2),
    Case("polar", lambda a, b: torch.polar(a, b).imag, ((4, 6), (6,)), 2),
    Case("imag.get", lambda a: torch.complex(a, a * 2).imag, ((4, 6),), 2),
    Case("conj", lambda a: a.conj(), ((4, 6),), 2),
    Case("view_as_complex", lambda a: torch.view_as_complex(a).real, ((4, 6, 2),), 2),
    Case("as_strided", lambda a: a.contiguous().as_strided((3, 3), (6, 1)), ((4, 6),), 0),
    Case("channel_shuffle", lambda a, g: torch.channel_shuffle(a, g.shape[0]), ((2, 24, 3), (4,)), 5, 3),
    Case("channel_shuffle", lambda a: torch.channel_shuffle(a, 4), ((2, 24, 3),), 3, label="written in the code"),
    Case(
        "native_channel_shuffle",
        lambda a: torch.native_channel_shuffle(a, 4),
        ((2, 24, 3, 5),),
        4,
    ),
    Case("diagonal", lambda a: a.diagonal(), ((4, 6),), 0),
    Case("diag", lambda a: a.diag(), ((4,),), 0),
    Case("diag_embed", lambda a: a.diag_embed(), ((4,),), 0),
    Case("diagonal_scatter", lambda a, b: a.diagonal_scatter(b), ((4, 6), (4,)), 0),
    Case("trace", lambda a: a.trace(), ((4, 4),), 0),
]


def test_transforms() -> None:
    exercise(CASES)
