"""Functions that make tensors from sizes, and functions whose results depend on no axis that a plan may change."""

from __future__ import annotations

import torch

from ..recorder import Call, Dims, Rule, constants


def filled(call: Call) -> Dims:
    """zeros(n, m), x.new_zeros(...): a dimension follows the int it was made with."""
    start = 1 if call.name.startswith("new_") else 0
    sizes = call.ints(start, "size")
    if call.name in ("full", "new_full"):
        sizes = list(call.arg(start, "size"))
    if len(sizes) != call.out.dim():
        return constants(call.out, "a constant of the program")
    return [call.from_int(n) for n in sizes]


def constant(call: Call) -> Dims | list[Dims]:
    """The result has sizes of its own; what went in stays as it is."""
    for tensor in call.tensors():
        call.freeze(call.dims(tensor), f"{call.name} reads its values")
    outs = [constants(t, f"made by {call.name}") for t in call.outputs()]
    return outs[0] if isinstance(call.out, torch.Tensor) else outs


_CONSTANT = """
arange linspace logspace tensor as_tensor eye meshgrid from_numpy scalar_tensor nms unique histc diff bincount
randperm randint hann_window one_hot nonzero bucketize searchsorted new_tensor multinomial
argwhere tril_indices triu_indices cartesian_prod combinations isin allclose equal
"""
RULES: dict[str, Rule] = {
    name: filled
    for name in ("zeros", "ones", "empty", "full", "rand", "randn", "new_zeros", "new_ones", "new_full", "new_empty")
}
RULES |= {name: constant for name in _CONSTANT.split()}
