"""What has to hold of the weights while they are trained: functions for ``after_step``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from torch import Tensor, nn

from ..errors import InputError, ModelError
from ..wiring.wrapped import dequantized
from .rounding import parameters_of


def keep_zeros(model: nn.Module, names: Collection[str] | None = None) -> Callable[[nn.Module], None]:
    """Keep every weight at zero that is zero now: the masks of a sparsified network.

    Args:
        model: the network that will be trained. Matrices and kernels are masked; vectors (biases, normalization
            scales), which are often zero at first, are not.
        names: of the parameters to mask; None: all of them.

    Returns:
        A function that sets these weights of a network with the same parameters back to zero, in place.

    Example:
        >>> tuned = finetune(sparse, data, epochs=1, after_step=[keep_zeros(sparse)])  # doctest: +SKIP
    """
    kept = {
        name: dequantized(p) != 0
        for name, p in model.named_parameters()
        if (names is None or name in names) and p.ndim > 1 and bool((dequantized(p) == 0).any())
    }

    def zero(trained: nn.Module) -> None:
        for parameter, mask in _paired(trained, kept):
            parameter.data.mul_(mask.to(parameter.device))

    return zero


def clip(model: nn.Module, bound: float) -> Callable[[nn.Module], None]:
    """Keep matrices and kernels within [-bound, bound].

    Args:
        model: the network that will be trained; vectors (biases, normalization scales) stay free.
        bound: > 0.

    Raises:
        InputError: bound is not positive.
    """
    if not bound > 0:
        raise InputError(f"bound must be positive, not {bound}")
    clipped = {name: p for name, p in model.named_parameters() if p.ndim > 1}

    def clamp(trained: nn.Module) -> None:
        for parameter, _ in _paired(trained, clipped):
            parameter.data.clamp_(-bound, bound)

    return clamp


def _paired(trained: nn.Module, known: Mapping[str, Tensor]) -> list[tuple[nn.Parameter, Tensor]]:
    parameters = parameters_of(trained)
    for name, tensor in known.items():
        if name not in parameters or parameters[name].shape != tensor.shape:
            raise ModelError(f"{name} is not, or not of that shape, in the network that is trained; give that network")
    return [(parameters[name], tensor) for name, tensor in known.items()]
