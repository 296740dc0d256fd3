"""Scores that want evidence: what a function asks for is gathered from data.

A score says by its keyword arguments what it wants: ``def mine(axis, weights, *, activations)``. ``with_evidence``
gathers that and binds it; options with defaults stay as they are, and what the caller bound already is not asked for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch

from ..errors import EvidenceError, InputError
from ..evidence import activations, gradients
from ..wiring import Axis, Wiring

AnyScore = Callable[..., torch.Tensor]
Progress = Callable[[int, int, str], None]

_FROM_DATA = ("activations", "gradients")
_GATHERED = (*_FROM_DATA, "wiring")


def evidence_wanted(score: AnyScore) -> tuple[str, ...]:
    """Keyword arguments without a default that a score still waits for: of "activations", "gradients" and "wiring".

    Raises:
        InputError: score is no function, or waits for something else.
    """
    if not callable(score):
        raise InputError(f"score={score!r} is not callable; a score is a function (axis, weights) -> (axis.size,)")
    try:
        parameters = inspect.signature(score).parameters.values()
    except (TypeError, ValueError):  # a builtin says nothing of its arguments
        return ()
    wanted = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty)
    others = [name for name in wanted if name not in _GATHERED]
    if others:
        raise InputError(
            f"score {score_name(score)} wants {', '.join(others)}, which nothing here gathers (there are "
            f"{', '.join(_GATHERED)}); bind it:  functools.partial(score, {others[0]}=...)"
        )
    return wanted


def from_data(score: AnyScore) -> tuple[str, ...]:
    """What of the evidence that a score waits for is gathered from data."""
    return tuple(name for name in evidence_wanted(score) if name in _FROM_DATA)


def with_evidence(
    score: AnyScore,
    wiring: Wiring,
    data: Iterable[Any] | None = None,
    *,
    loss: Callable[[Any, Any], torch.Tensor] | None = None,
    mask: Callable[[Any], torch.Tensor] | None = None,
    most_examples: int = 512,
    seed: int = 0,
    progress: Progress | None = None,
) -> Callable[[Axis, Any], torch.Tensor]:
    """A score with all that it asks for: ``(axis, weights) -> (axis.size,)``.

    Args:
        score: a function of this room, or one of yours with keyword arguments ``activations``, ``gradients`` or
            ``wiring``; others have to be bound with ``functools.partial``.
        wiring: of the model.
        data: batches, each ``x`` or ``(x, y)``; only for scores that want activations or gradients.
        loss, mask: as in ``evidence.gradients`` and ``evidence.activations``.
        most_examples: examples used at most.
        seed: of everything drawn at random.
        progress: called with (batches done, batches in all, what is gathered).

    Raises:
        EvidenceError: the score wants something from data, and there is none; and as the two functions above.
        InputError: the score wants something else.

    Example:
        >>> score = with_evidence(netsmith.scores.taylor, wiring, batches)  # doctest: +SKIP
    """
    wanted = evidence_wanted(score)
    missing = [name for name in wanted if name in _FROM_DATA]
    if missing and data is None:
        raise EvidenceError(
            f"score {score_name(score)} is computed from data ({' and '.join(missing)}), and none was given; "
            "pass data, or choose a score that looks at weights alone, such as magnitude"
        )
    found: dict[str, Any] = {}
    options: dict[str, Any] = {"mask": mask, "most_examples": most_examples, "seed": seed, "progress": progress}
    if "wiring" in wanted:
        found["wiring"] = wiring
    if "activations" in wanted:
        assert data is not None
        found["activations"] = activations(wiring, data, **options)
    if "gradients" in wanted:
        assert data is not None
        found["gradients"] = gradients(wiring, data, loss, **options)
    return partial(score, **found) if found else score


def score_name(score: object) -> str:
    """What to call a score in a message."""
    while isinstance(score, partial):
        score = score.func
    return getattr(score, "__name__", type(score).__name__)
