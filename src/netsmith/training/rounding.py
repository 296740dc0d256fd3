"""Training of weights that are stored as integers: floats behind them move, and every step sees them rounded.

In each forward a weight is what it would be when stored, and gradients pass the rounding as if it were not there
(Bengio et al. 2013, arXiv:1308.3432). The clipping thresholds learn along (Esser et al., ICLR 2020, arXiv:1902.08153:
LSQ), by their logarithm, so that they stay positive and Adam moves them in proportion.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils import parametrize

from ..plans.integers import spread
from ..wiring.wrapped import dequantized, is_wrapped


class Rounded(nn.Module):
    """A parametrization: floats -> the values that they have once stored.

    Args:
        stored: a weight that holds integers; they say how many bits: four where none lies outside -8 ... 7, as in a
            saved file.
    """

    def __init__(self, stored: Tensor):
        super().__init__()
        held: Any = stored.detach()
        self.stored, values, scale = held, held.qdata, held.scale
        self.block = tuple(n // m for n, m in zip(values.shape, scale.shape, strict=True))
        self.largest = 7 if int(values.min()) >= -8 and int(values.max()) <= 7 else 127
        self.register_buffer("start", scale.clone())
        self.growth = nn.Parameter(torch.zeros(scale.numel(), device=scale.device))  # a vector: no weight decay

    def scale(self) -> Tensor:
        """As ``plans.integers.Integers.scale``."""
        start = self.get_buffer("start")
        return start * self.growth.exp().view_as(start)

    def levels(self, floats: Tensor, scale: Tensor) -> Tensor:
        """Integers as floats; the gradient is that of clipping alone."""
        exact = (floats.float() / spread(scale, self.block)).clamp(-self.largest - 1, self.largest)
        return exact + (exact.round() - exact).detach()  # is the integer itself, to the bit

    def forward(self, floats: Tensor) -> Tensor:
        scale = self.scale()
        values = (self.levels(floats, scale) * spread(scale, self.block)).to(floats.dtype)
        if getattr(self.stored, "act_quant_kwargs", None) is None:
            return values
        found = values.as_subclass(RoundsInputs)
        found.like = self.stored
        return found

    @torch.no_grad()
    def integers(self, floats: Tensor) -> nn.Parameter:
        """The weight stored again."""
        names, context = self.stored.__tensor_flatten__()
        scale = self.scale()
        parts = {name: getattr(self.stored, name).to(floats.device) for name in names}
        parts |= {"qdata": self.levels(floats, scale).to(torch.int8), "scale": scale}
        shape, stride = self.stored.shape, self.stored.stride()
        return nn.Parameter(type(self.stored).__tensor_unflatten__(parts, context, shape, stride), requires_grad=False)


class RoundsInputs(Tensor):
    """A weight whose linear layers round their inputs too, row by row, as it does when stored."""

    like: Any

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        weight = next((a for a in args if isinstance(a, cls)), None)
        with torch._C.DisableTorchFunctionSubclass():
            if func is linear and weight is not None and len(args) > 1 and args[1] is weight:
                how, x = weight.like.act_quant_kwargs, args[0]
                seen = type(weight.like).from_hp(x.detach(), how.granularity, how.mapping_type).dequantize()
                args = (x + (seen - x).detach(), *args[1:])
            return func(*args, **(kwargs or {}))


def with_rounding(model: nn.Module) -> nn.Module:
    """Put floats that are rounded in every forward in the place of stored integers, in place; tied ones stay tied."""
    made: dict[int, Any] = {}
    for module in list(model.modules()):
        for name, weight in list(module._parameters.items()):
            if weight is None or not is_wrapped(weight):
                continue
            module._parameters[name] = nn.Parameter(dequantized(weight))
            first = made.get(id(weight))
            parametrize.register_parametrization(module, name, Rounded(weight) if first is None else first[0])
            if first is None:
                made[id(weight)] = _parametrizations(module)[name]
            else:
                _parametrizations(module)[name] = first
    return model


def with_integers(model: nn.Module) -> nn.Module:
    """The inverse, in place."""
    made: dict[int, nn.Parameter] = {}
    for module in list(model.modules()):
        for name, each in _rounded(module).items():
            if id(each) not in made:
                made[id(each)] = each[0].integers(each.original)
            parametrize.remove_parametrizations(module, name, leave_parametrized=False)
            module._parameters[name] = made[id(each)]
    return model


def parameters_of(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters by name; floats that are rounded also by the name of the weight that they stand for."""
    found = dict(model.named_parameters())
    for path, module in model.named_modules():
        found |= {f"{path}.{name}".lstrip("."): each.original for name, each in _rounded(module).items()}
    return found


def _rounded(module: nn.Module) -> dict[str, Any]:
    lists = dict(_parametrizations(module)) if parametrize.is_parametrized(module) else {}
    return {name: each for name, each in lists.items() if isinstance(each[0], Rounded)}


def _parametrizations(module: nn.Module) -> Any:
    return module.parametrizations
