"""What every recipe asks of the model that it is given."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..errors import InputError, ModelError


def check_model(model: Any) -> None:
    """Refuse what no structure can be changed of, before any work is done.

    Raises:
        InputError: no module.
        ModelError: weights that are NaN or infinite, or buffers that hold NaN; the message names them.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model is a {type(model).__name__}; give a torch.nn.Module")
    bad = [n for n, p in model.named_parameters() if p.is_floating_point() and not p.is_meta and not p.isfinite().all()]
    if bad:
        raise ModelError(f"weights are not finite (NaN or infinity): {', '.join(bad[:8])}. Load a sound checkpoint.")
    # Infinity in a buffer may be meant (a mask of attention), NaN is not.
    bad = [n for n, b in model.named_buffers() if b.is_floating_point() and not b.is_meta and b.isnan().any()]
    if bad:
        raise ModelError(f"buffers hold NaN: {', '.join(bad[:8])}. Load a sound checkpoint.")
