"""Recomputes the statistics of batch normalizations, where that helps."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import nn

from ..data.freed_memory import freed_memory_kept
from ..data.running import eval_mode
from ..errors import NetsmithError
from ..evidence import calibration_batches, device_of, examples_in, first_output, mean_divergence
from ..evidence.formats import channels_last
from ..evidence.side_by_side import at_once, each
from ..evidence.stepping import raises
from ..plans import Plan
from ..wiring import call_model
from .repaired import Repaired

_MOST_GROUPS = 6  # statistics are accepted or refused for this many stretches of the network


@freed_memory_kept()
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
    calls = _calls(model, layers, judge[0])
    errors: dict[str, tuple[float, float]] = {}
    accepted: set[str] = set()
    names = list(layers)
    step = -(-len(names) // _MOST_GROUPS)
    for start in range(0, len(names), step):
        stretch = names[start : start + step]
        before = {name: _statistics(layers[name]) for name in stretch}
        _recompute(model, stretch, train, sum(calls[name] for name in stretch))
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


def _calls(model: nn.Module, layers: Mapping[str, nn.Module], inputs: Any) -> Counter[str]:
    """How often one forward calls each layer."""
    found: Counter[str] = Counter()
    hooks = [layer.register_forward_hook(lambda *_, name=name: found.update([name])) for name, layer in layers.items()]
    try:
        _outputs(model, [inputs])
    finally:
        for hook in hooks:
            hook.remove()
    return found


class _Enough(BaseException):
    """Ends a forward in which nothing more is to be seen."""


def _recompute(model: nn.Module, names: Sequence[str], batches: Sequence[Any], calls: int) -> None:
    """Averages over the batches of each one's statistics; everything else stays in eval mode.

    Args:
        calls: of these layers in one forward, which ends behind the last of them; 0: it runs to its end.
    """
    layers = {name: model.get_submodule(name) for name in names}
    device = device_of(model)
    workers = min(at_once(device), len(batches))
    found = each(partial(_batch_statistics, model, names, calls), [batches[i::workers] for i in range(workers)], device)
    in_order = [found[i % workers][i // workers] for i in range(len(batches))]
    for name, layer in layers.items():
        layer.reset_running_stats()  # type: ignore[operator]
        for key in ("running_mean", "running_var"):
            buffer = layer.get_buffer(key)
            buffer.copy_(torch.stack([of_batch[name][key] for of_batch in in_order]).double().mean(0))
        if "num_batches_tracked" in layer._buffers:
            layer.get_buffer("num_batches_tracked").fill_(len(in_order))


def _batch_statistics(
    model: nn.Module, names: Sequence[str], calls: int, batches: Sequence[Any]
) -> list[dict[str, dict[str, torch.Tensor]]]:
    """What each batch by itself has, layer by layer."""
    model = copy.deepcopy(model)  # statistics are kept in the layers: each thread needs its own
    layers = {name: model.get_submodule(name) for name in names}
    left = 0

    def end(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise _Enough

    for layer in layers.values():
        layer.momentum = None  # type: ignore[assignment]
        layer.training = True
        layer.register_forward_hook(end)
    found = []
    with torch.no_grad():
        for inputs in batches:
            for layer in layers.values():
                layer.reset_running_stats()  # type: ignore[operator]
            left = calls
            with suppress(_Enough):
                _called(model, inputs)
            found.append({name: _statistics(layer) for name, layer in layers.items()})
    return found
