"""``plan_sparsity``: which single weights to set to zero."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy
import torch

from ..errors import EvidenceError, InputError
from ..evidence import Activations, activations
from ..evidence.activations import identity
from ..evidence.masks import Mask
from ..wiring import Wiring
from ..wiring.wrapped import is_wrapped
from .edits import Sparsify
from .plan import Plan
from .protection import protected_tensors

Criterion = Literal["magnitude", "wanda"]
Progress = Callable[[int, int, str], None]

# function -> where among its tensor arguments the weight is
_READERS = {"linear": 1, "addmm": 2, "conv1d": 1, "conv2d": 1, "conv3d": 1}


def plan_sparsity(
    wiring: Wiring,
    *,
    threshold: float | None = None,
    share: float | None = None,
    pattern: str | None = None,
    scope: Literal["global", "layer"] = "global",
    criterion: Criterion = "magnitude",
    data: Iterable[Any] | Activations | None = None,
    ignore: Iterable[str] = (),
    everything: bool = False,
    mask: Mask | None = None,
    seed: int = 0,
) -> Plan:
    """Plan to set single weights to zero; all others stay as they are, to the last bit.

    Args:
        wiring: of the model, from ``trace``.
        threshold: zero weights of smaller magnitude.
        share: zero this share of the weights, > 0 and < 1: those of the lowest score.
        pattern: "N:M": of M weights in a row along a layer's inputs (channels, for a convolution) N stay, as "2:4".
        scope: of ``share``: one ranking of all weights, or one a layer (with "wanda": one an output, as in its paper).
        criterion: "magnitude": |w|; "wanda": |w| · sqrt(E x²) of the input that it multiplies.
        data: unlabelled batches for "wanda", or activations gathered from them.
        ignore: leave tensors or modules with such names alone.
        everything: also zero in what is no weight of a linear layer or convolution (biases, norms, embeddings); only by
            magnitude and without pattern.
        mask, seed: as in ``evidence.activations``.

    Returns:
        A plan whose edits say which weights become zero. ``left`` names layers that the pattern does not fit.

    Raises:
        InputError: not exactly one of threshold, share and pattern; an option out of range; activations of another
            model.
        EvidenceError: "wanda" without data.

    Source: magnitude: Han et al., NeurIPS 2015, arXiv:1506.02626; Wanda: Sun et al., ICLR 2024, arXiv:2306.11695; N:M:
    Mishra et al., 2021, arXiv:2104.08378. ``recovery.sparsify`` chooses and repairs in the manner of SparseGPT.

    Example:
        >>> plan = plan_sparsity(wiring, share=0.5)  # doctest: +SKIP
    """
    kept_of = _check(wiring, threshold, share, pattern, scope, criterion, data, everything)
    ignored = protected_tensors(wiring, ignore)
    layers = {name: at for name, at in prunable(wiring).items() if name not in ignored}
    names = list(layers)
    if everything:
        names += [n for n in wiring.parameter_names() if n not in layers and n not in ignored]
    scores = _scores(wiring, names, layers, criterion, data, mask, seed)
    left: dict[str, str] = {}
    if kept_of is not None:
        gone = {}
        for name, score in scores.items():
            if score.shape[layers[name]] % kept_of[1]:
                left[name] = f"has {score.shape[layers[name]]} inputs, which is no multiple of {kept_of[1]}"
            else:
                gone[name] = lowest_of_each(score, layers[name], *kept_of)
    elif threshold is not None:
        gone = {name: score < threshold for name, score in scores.items()}
    else:
        assert share is not None
        gone = _lowest_share(scores, layers, share, scope, criterion)
    edits = tuple(edit_of(name, zeros, pattern) for name, zeros in gone.items() if bool(zeros.any()))
    return Plan(edits, {}, {}, {}, wiring.fingerprint, left=left)


def prunable(wiring: Wiring) -> dict[str, int]:
    """Weights of linear layers and convolutions -> their dimension of inputs."""
    found: dict[str, int] = {}
    other: set[str] = set()
    for call in wiring.calls:
        for position, origin in enumerate(call.origins):
            if origin.kind != "slot" or wiring.tensors[origin.name].dim() < 2:
                continue
            if _READERS.get(call.name) == position and isinstance(wiring.tensors[origin.name], torch.nn.Parameter):
                found[origin.name] = 0 if call.name == "addmm" else 1
            elif call.name == "embedding":
                other.add(origin.name)
    return {name: at for name, at in found.items() if name not in other}


def lowest_of_each(score: torch.Tensor, dim: int, kept: int, of: int) -> torch.Tensor:
    """True where a weight is not among the ``kept`` highest of ``of`` neighbours along a dimension."""
    moved = score.movedim(dim, -1)
    grouped = moved.unflatten(-1, (-1, of))
    order = grouped.argsort(dim=-1, descending=True, stable=True)
    gone = torch.zeros_like(grouped, dtype=torch.bool).scatter_(-1, order[..., kept:], True)
    return gone.flatten(-2).movedim(-1, dim)


def edit_of(name: str, zeros: torch.Tensor, pattern: str | None) -> Sparsify:
    """The edit that zeroes a tensor where ``zeros`` is true."""
    bits = zeros.cpu().contiguous().flatten().to(torch.uint8).numpy()
    return Sparsify(name, tuple(zeros.shape), numpy.packbits(bits).tobytes(), pattern)


def zeros_of(edit: Sparsify) -> torch.Tensor:
    """Boolean tensor: true where the edit sets zero."""
    size = 1
    for n in edit.shape:
        size *= n
    bits = numpy.unpackbits(numpy.frombuffer(edit.zeros, dtype=numpy.uint8), count=size)
    return torch.from_numpy(bits.copy()).bool().reshape(edit.shape)


def parse_pattern(pattern: str) -> tuple[int, int]:
    """ "2:4" -> (2, 4). Raises InputError."""
    match = re.fullmatch(r"(\d+):(\d+)", pattern) if isinstance(pattern, str) else None
    if match is None or not 0 < int(match[1]) < int(match[2]) <= 64:
        raise InputError(f"pattern={pattern!r}; write N:M with 0 < N < M ≤ 64, e.g. '2:4'")
    return int(match[1]), int(match[2])


def _check(
    wiring: Any, threshold: Any, share: Any, pattern: Any, scope: Any, criterion: Any, data: Any, everything: Any
) -> tuple[int, int] | None:
    if not isinstance(wiring, Wiring):
        raise InputError(f"wiring is a {type(wiring).__name__}; give what trace(model, example_inputs) returns")
    if sum(each is not None for each in (threshold, share, pattern)) != 1:
        raise InputError("give one of threshold=0.01, share=0.5 and pattern='2:4'")
    if threshold is not None and not (isinstance(threshold, int | float) and threshold > 0):
        raise InputError(f"threshold={threshold!r} must be a number > 0")
    if share is not None and not (isinstance(share, int | float) and 0 < share < 1):
        raise InputError(f"share={share!r} must be > 0 and < 1")
    if scope not in ("global", "layer"):
        raise InputError(f"scope={scope!r}; give 'global' or 'layer'")
    if criterion not in ("magnitude", "wanda"):
        raise InputError(f"criterion={criterion!r}; give 'magnitude' or 'wanda'")
    if criterion == "wanda" and data is None:
        raise EvidenceError("criterion 'wanda' is computed from data, and none was given; give data")
    if everything and (criterion != "magnitude" or pattern is not None):
        raise InputError("everything=True goes by magnitude, with a threshold or a share")
    if any(t.is_meta or is_wrapped(t) for t in wiring.tensors.values()):
        raise InputError("sparsity looks at float weights; load them first, and quantize afterwards")
    return None if pattern is None else parse_pattern(pattern)


def _scores(
    wiring: Wiring,
    names: Iterable[str],
    layers: Mapping[str, int],
    criterion: str,
    data: Any,
    mask: Mask | None,
    seed: int,
) -> dict[str, torch.Tensor]:
    scores = {name: wiring.tensors[name].detach().abs().float() for name in names}
    if criterion == "magnitude":
        return scores
    seen = gathered(wiring, data, mask, seed, gram=False)
    for name in scores:
        inputs = seen.layers.get(name)
        if inputs is not None:
            scores[name] = scores[name] * _input_size(inputs.square, scores[name], layers[name])
    return scores


def gathered(wiring: Wiring, data: Any, mask: Mask | None, seed: int, *, gram: bool) -> Activations:
    """Activations that were given, checked, or gathered now.

    Raises:
        InputError: they are of another model.
    """
    if isinstance(data, Activations):
        if data.model != identity(wiring):
            raise InputError("these activations are of another model, or of other weights; gather them again")
        return data
    return activations(wiring, data, mask=mask, gram=gram, seed=seed)


def _input_size(square: torch.Tensor, like: torch.Tensor, dim: int) -> torch.Tensor:
    """sqrt(E x²) beside every weight. square (groups, inputs)."""
    size = square.sqrt()
    if dim == 0:
        return size[0][:, None].expand_as(like)
    rows = like.shape[0] // len(size)
    return size.repeat_interleave(rows, 0).reshape(like.shape)


def _lowest_share(
    scores: Mapping[str, torch.Tensor], layers: Mapping[str, int], share: float, scope: str, criterion: str
) -> dict[str, torch.Tensor]:
    if scope == "global":
        ranked = torch.cat([score.flatten() for score in scores.values()]).argsort(stable=True)
        flags = torch.zeros(len(ranked), dtype=torch.bool)
        flags[ranked[: round(share * len(ranked))]] = True
        parts = flags.split([score.numel() for score in scores.values()])
        return {n: part.reshape(s.shape) for (n, s), part in zip(scores.items(), parts, strict=True)}
    gone = {}
    for name, score in scores.items():
        rows = score.movedim(1 - layers.get(name, 1), 0).flatten(1) if criterion == "wanda" else score.reshape(1, -1)
        order = rows.argsort(dim=1, stable=True)[:, : round(share * rows.shape[1])]
        flags = torch.zeros_like(rows, dtype=torch.bool).scatter_(1, order, True)
        if criterion == "wanda" and layers.get(name) == 0:
            flags = flags.T
        gone[name] = flags.reshape(score.shape)
    return gone
