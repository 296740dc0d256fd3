"""Every recipe refuses a model with NaN in it before it does any work."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from netsmith import Budget
from netsmith.errors import InputError, ModelError
from netsmith.recipes import cut, grow, merge, quantize, shrink, sparsify
from small_networks import network

RECIPES = {
    "shrink": partial(shrink, budget=Budget(macs=0.5)),
    "cut": partial(cut, blocks=1, data=[torch.randn(64, 6)]),
    "merge": merge,
    "grow": partial(grow, deepen=1),
    "sparsify": partial(sparsify, share=0.5),
    "quantize": partial(quantize, scheme="int8"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_weights_that_are_not_finite_are_refused(name: str) -> None:
    model, x = network("mlp")
    first = next(name for name, _ in model.named_parameters())
    with torch.no_grad():
        model.get_parameter(first).view(-1)[0] = float("nan")
    with pytest.raises(ModelError, match=f"not finite .*{first}. Load a sound checkpoint"):
        RECIPES[name](model, x)
    with pytest.raises(InputError, match="model is a int; give a torch.nn.Module"):
        RECIPES[name](3, x)
