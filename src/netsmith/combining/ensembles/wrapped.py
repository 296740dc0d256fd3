"""A model that is no torch module, as a member: it can be run and measured, but not saved or exported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import InputError


class Wrapped(nn.Module):
    """Calls a function of numpy arrays, such as ``classifier.predict_proba``.

    There is no file format for someone else's Python object but pickle, so an ensemble with such a member cannot be
    saved; gradient-boosted trees can be turned into a module with ``tree_ensemble`` instead.

    Args:
        predict_proba: (N, features) float32 -> (N, C) probabilities.
    """

    def __init__(self, predict_proba: Callable[[Any], Any]) -> None:
        super().__init__()
        if not callable(predict_proba):
            raise InputError(f"Wrapped needs a function, e.g. classifier.predict_proba, not {predict_proba!r:.60}")
        self.predict_proba = predict_proba

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, C) float32 log-probabilities."""
        found = np.asarray(self.predict_proba(x.detach().flatten(1).float().cpu().numpy()))
        if found.ndim != 2 or len(found) != len(x):
            raise InputError(f"the wrapped function returns {found.shape} for {len(x)} examples, not (N, C)")
        return torch.from_numpy(found).float().clamp_min(1e-12).log().to(x.device)
