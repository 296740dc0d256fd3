"""What a plan of fusions does to a model, in place. Only for copies: ``surgery`` makes them, planners try twins."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from ..errors import PlanError
from ..wiring.depth import take_out
from .affine import Affine, NotAffine
from .affine_reading import read_affine
from .edits import FuseLayers
from .plan import Plan

_LAYERS = {
    (1, False): nn.Conv1d,
    (2, False): nn.Conv2d,
    (3, False): nn.Conv3d,
    (1, True): nn.ConvTranspose1d,
    (2, True): nn.ConvTranspose2d,
    (3, True): nn.ConvTranspose3d,
}


def fuse(model: nn.Module, plan: Plan) -> None:
    """Carry out the fusions of a plan (not of those before it) on a model of one's own.

    No tensor is written: new parameters take the places of old ones, which the model may share with another.

    Raises:
        PlanError: the plan does not fit the model.
    """
    places: dict[str, nn.Module | None] = {}
    for edit in plan.fusions:
        try:
            places |= _fused(model, edit)
        except (AttributeError, NotAffine) as error:
            raise PlanError(f"{', '.join(edit.layers)} cannot be merged in this model: {error}") from error
    take_out(model, places)


def host_of(model: nn.Module, edit: FuseLayers, merged: Affine) -> nn.Module | None:
    """The layer that takes over, if it keeps its class: the merged kernel has the shape and the steps of its own."""
    host = model.get_submodule(edit.into)
    if (
        "weight" not in host._parameters
        or "bias" not in host._parameters
        or (edit.then and edit.into == edit.layers[-1])
    ):
        return None
    before = [model.get_submodule(path) for path in edit.layers[: edit.layers.index(edit.into)]]
    shape = read_affine(before, edit.shape).shape if before else edit.shape
    own = read_affine([host], shape).map
    return host if _form(own) == _form(merged) and own.weight.shape == host.weight.shape else None


def _form(each: Affine) -> Affine:
    """All of a map but its values."""
    return replace(each, weight=tuple(each.weight.shape), bias=None)  # type: ignore[arg-type]


def _map(model: nn.Module, edit: FuseLayers) -> Affine:
    stop = model.get_submodule(edit.then[0]) if edit.then else None
    return read_affine([model.get_submodule(path) for path in edit.layers], edit.shape, stop).map


def _fused(model: nn.Module, edit: FuseLayers) -> dict[str, nn.Module]:
    """What comes in each layer's place; a host that stays is given its values."""
    found, last = _map(model, edit), edit.layers[-1]
    host = host_of(model, edit, found)
    like = next(p for path in edit.layers for p in model.get_submodule(path).parameters() if p.dim() > 1)
    places: dict[str, nn.Module] = {
        path: nn.Identity().train(model.get_submodule(path).training) for path in edit.layers if path != edit.into
    }
    if host is None:
        places[edit.into] = _made(found, like.device).train(model.get_submodule(edit.into).training)
    layer = host if host is not None else places[edit.into]
    weight, bias = found.weight.to(like.dtype), None if found.bias is None else found.bias.to(like.dtype)
    layer.register_parameter("weight", nn.Parameter(weight, like.requires_grad))
    layer.register_parameter("bias", None if bias is None else nn.Parameter(bias, like.requires_grad))
    then = [model.get_submodule(path) for path in edit.then]
    if then:
        behind = [*([places[last]] if last == edit.into else []), *then]
        places[last] = behind[0] if len(behind) == 1 else nn.Sequential(*behind).train(then[0].training)
    return places


def _made(found: Affine, device: torch.device) -> nn.Module:
    """A plain layer of this form, without values."""
    bias = found.bias is not None
    if not found.kernel:
        return nn.utils.skip_init(nn.Linear, found.inputs, found.outputs, bias=bias, device=device)
    form = {"stride": found.stride, "padding": found.padding, "dilation": found.dilation, "groups": found.groups}
    if found.transposed:
        form["output_padding"] = found.output_padding
    layer = _LAYERS[len(found.kernel), found.transposed]
    return nn.utils.skip_init(layer, found.inputs, found.outputs, found.kernel, bias=bias, device=device, **form)
