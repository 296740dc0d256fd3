"""Recomputes the statistics of batch normalizations, where that helps."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from ..data.running import eval_mode
from ..errors import NetsmithError
from ..evidence import calibration_batches, device_of, examples_in, first_output, mean_divergence
from ..evidence.formats import channels_last
from ..evidence.stepping import raises
from ..plans import Plan
from ..wiring import call_model
from .repaired import Repaired

_MOST_GROUPS = 6  # statistics are accepted or refused for this many stretches of the network


def recalibrate(
    original: nn.Module, edited: nn.Module, plan: Plan, data: Iterable[Any], *, most_examples: int = 512
) -> Repaired:
    """Recompute running statistics stretch by stretch; keep those with which held-out outputs come nearer.

    Recomputing always, as is the habit, hurts a network that was repaired in closed form, and hurts on images without
    the training's augmentation. So the last quarter of the batches judges, by divergence from the original's outputs.

    Args:
        original: gives the outputs to come near to.
        edited: any model with layers that hold ``running_mean`` and ``running_var``; not changed.
        plan: of the edited model.
        data: unlabelled batches, each ``x`` or ``(x, y)``. With a single batch nothing can be judged, and nothing
            changes.
        most_examples: examples used at most.

    Returns:
        A copy with the accepted statistics; ``errors`` maps the first layer of each stretch to the divergence before
        and after.

    Raises:
        InputError, EvidenceError: empty data, values that are not finite, or a batch that forward cannot take.
    """
    model = copy.deepcopy(edited).eval()
    layers = {name: module for name, module in model.named_modules() if _keeps_statistics(module)}
    batches = calibration_batches(data, most_examples=most_examples, device=device_of(original))
    if not layers or len(batches) < 2:
        return Repaired(model, plan, {})
    batches = channels_last(original, batches)
    held_out = max(1, len(batches) // 4)
    train, judge = batches[:-held_out], batches[-held_out:]
    train = [inputs for inputs in train if examples_in(inputs) > 1]  # one example has no variance
    if not train:
        return Repaired(model, plan, {})
    references = _outputs(original, judge)
    best = mean_divergence(model, judge, references)
    errors: dict[str, tuple[float, float]] = {}
    accepted: set[str] = set()
    names = list(layers)
    step = -(-len(names) // _MOST_GROUPS)
    for start in range(0, len(names), step):
        stretch = names[start : start + step]
        before = {name: _statistics(layers[name]) for name in stretch}
        _recompute(model, [layers[name] for name in stretch], train)
        now = mean_divergence(model, judge, references)
        errors[stretch[0]] = (best, now)
        if now < best:
            best = now
            accepted |= {f"{n}.{key}" for n in stretch for key in before[n]}
        else:
            for name, values in before.items():
                for key, value in values.items():
                    layers[name].get_buffer(key).copy_(value)
    return Repaired(model, plan.with_refitted(accepted), errors)


def _keeps_statistics(module: nn.Module) -> bool:
    return isinstance(module._buffers.get("running_mean"), torch.Tensor) and hasattr(module, "momentum")


def _statistics(module: nn.Module) -> dict[str, torch.Tensor]:
    keys = ("running_mean", "running_var", "num_batches_tracked")
    return {key: t.clone() for key in keys if (t := module._buffers.get(key)) is not None}


def _outputs(model: nn.Module, batches: Sequence[Any]) -> list[torch.Tensor]:
    with eval_mode(model), torch.no_grad():
        return [first_output(_called(model, inputs)) for inputs in batches]


def _called(model: nn.Module, inputs: Any) -> Any:
    try:
        return call_model(model, inputs)
    except NetsmithError:
        raise
    except Exception as error:  # the model's own code
        raise raises("forward", inputs, error) from error


def _recompute(model: nn.Module, layers: Sequence[nn.Module], batches: Sequence[Any]) -> None:
    """Cumulative averages over the batches; everything else stays in eval mode."""
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()  # type: ignore[operator]
        layer.momentum = None  # type: ignore[assignment]
        layer.training = True
    with torch.no_grad():
        for inputs in batches:
            _called(model, inputs)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.training = False
