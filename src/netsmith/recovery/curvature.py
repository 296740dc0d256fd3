"""One layer of a stretch that is fitted as a whole: its parameters, and how the error curves along them.

The curvature of a squared error along a layer's weights is taken to be the second moment of the layer's inputs times,
for each of its outputs, how strongly the stretch's result answers to that output.

Source: Martens & Grosse, ICML 2015, arXiv:1503.05671 (K-FAC), with the Gauss-Newton matrix of a local squared error and
a diagonal factor on the side of the outputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..evidence.moments import gram
from ..evidence.patches import matrix_weight, weight_matrix
from .fitting import TINY
from .refits import Refit

_LEAST_DAMPING = 1e-3  # inputs that always move together must not make steps without bound


class FittedLayer:
    """A layer as rows of a regression: ``parameters`` is (groups, inputs + 1, outputs), the last row the constant.

    The constant is what is added to the layer's raw output: by its bias, or by the normalization behind it. Where
    neither can, the row stays zero.
    """

    def __init__(self, refit: Refit, slots: Mapping[str, torch.Tensor], groups: int):
        self.refit, self.groups = refit, groups
        self.weight = slots[refit.weight]
        matrix = weight_matrix(self.weight.detach(), refit.name, groups).double()
        self.inputs, self.outputs = matrix.shape[1:]
        self.offset = slots[refit.bias] if refit.bias else slots[refit.norm[1]] if refit.norm else None
        shape, device = (groups, self.outputs), matrix.device
        self.factor = torch.ones(shape, dtype=torch.float64, device=device)  # from the constant to the offset
        if refit.norm and not refit.bias:
            gain, variance = (slots[refit.norm[i]].detach().double() for i in (0, 3))
            self.factor = (gain / (variance + refit.epsilon).sqrt()).reshape(shape)
        none = torch.zeros_like(self.factor)
        self.live = none if self.offset is None else (self.factor.abs() > TINY).double()
        self._first_offset = none if self.offset is None else self.offset.detach().double().reshape(shape).clone()
        self.start = torch.cat([matrix, torch.zeros(groups, 1, self.outputs, dtype=torch.float64, device=device)], 1)
        self.parameters = self.start.clone()
        self.rows = 0.0  # that the layer works on
        self.seen = 0  # of these, sampled
        self._moments = torch.zeros(groups, self.inputs + 1, self.inputs + 1, dtype=torch.float64, device=device)
        self._answers = torch.zeros(shape, dtype=torch.float64, device=device)
        self._answered = 0

    def tensors(self) -> list[torch.Tensor]:
        """What is to be differentiated."""
        return [self.weight] if self.offset is None else [self.weight, self.offset]

    def see(self, x: torch.Tensor, rows: int) -> None:
        """x: (sampled rows, groups, inputs) of one batch that has ``rows`` of them."""
        x = torch.cat([x.float(), x.new_ones(*x.shape[:2], 1).float()], 2).transpose(0, 1)
        self._moments += gram(x).double()
        self.seen += x.shape[1]
        self.rows += rows

    def feel(self, answer: torch.Tensor) -> None:
        """answer: (rows, groups, outputs), gradients of the stretch's result, times random signs."""
        self._answers += answer.double().square().sum(0)
        self._answered += answer.shape[0]

    def settle(self, strength: float) -> bool:
        """Make the curvature of what was seen and felt; False where it is none (values that are not finite)."""
        moments = self._moments / self.seen
        diagonal = moments.diagonal(dim1=1, dim2=2)
        average = diagonal[:, :-1].mean(1)  # (groups,)
        self._penalty = strength * average + 1e-10
        damping = (max(strength, _LEAST_DAMPING) * average + 1e-10).unsqueeze(1).expand(-1, self.inputs + 1).clone()
        damping[:, -1] = 1e-8
        self._factor, failed = torch.linalg.cholesky_ex(moments + torch.diag_embed(damping))
        answers = self._answers / max(self._answered, 1)
        self._curvature = answers.clamp_min(1e-6 * float(answers.max()) + 1e-20).unsqueeze(1)  # (groups, 1, outputs)
        return not bool(failed.any()) and bool(answers.isfinite().all())

    def gradient(self, weight: torch.Tensor, offset: torch.Tensor | None) -> torch.Tensor:
        """Of the penalized error, from that of the plain error by ``tensors()``; shaped like ``parameters``."""
        top = weight_matrix(weight, self.refit.name, self.groups).double()
        bottom = torch.zeros_like(top[:, :1])
        if offset is not None:
            bottom = (offset.double().reshape(self.factor.shape) * self.factor * self.live).unsqueeze(1)
        return torch.cat([top, bottom], 1) + self._pull(self.parameters - self.start)

    def _pull(self, away: torch.Tensor) -> torch.Tensor:
        pulled = away * self._curvature * self._penalty.reshape(-1, 1, 1) * self.rows
        pulled[:, -1] = 0
        return pulled

    def penalty(self, one: torch.Tensor | None = None, other: torch.Tensor | None = None) -> float:
        """one · (second derivative of the penalty) · other; both by default what the parameters have moved by."""
        one = self.parameters - self.start if one is None else one
        return float((one * self._pull(one if other is None else other)).sum())

    def direction(self, gradient: torch.Tensor) -> torch.Tensor:
        """Down the gradient, scaled by the curvature."""
        step = -torch.cholesky_solve(gradient, self._factor) / (self._curvature * max(self.rows, 1))
        step[:, -1] *= self.live
        step *= (self.factor.abs() > TINY).unsqueeze(1)
        return step

    def move_to(self, parameters: torch.Tensor) -> None:
        """Write the parameters into the layer."""
        self.parameters = parameters
        with torch.no_grad():
            self.weight.copy_(matrix_weight(parameters[:, :-1], self.weight, self.refit.name))
            if self.offset is not None:
                offset = self._first_offset + parameters[:, -1] * self.factor * self.live
                self.offset.copy_(offset.reshape(self.offset.shape).to(self.offset))
