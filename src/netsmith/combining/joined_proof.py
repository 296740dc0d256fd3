"""Does a joined network give the mean of its members' outputs? Tried, not argued."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..checks.comparing import convert
from ..data.running import eval_mode
from ..errors import InputError, ModelError
from ..wiring import call_model
from ..wiring.inputs import map_tensors
from ..wiring.recorder import tensors_in
from ..wiring.slots import int_values, modules_of

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}  # of the largest output
_SHOWN = 6


def check_mean(
    joined: nn.Module,
    models: Sequence[nn.Module],
    shares: Sequence[float],
    example_inputs: Any,
    fill: Callable[[nn.Module, Sequence[nn.Module]], Any],
    *,
    hint: Callable[[], Sequence[str]] = list,
) -> float:
    """The largest difference between a network's outputs and the mean of the members', relative to the largest.

    Proved in float64, filled anew from members in float64, and where forward rounds to float32 inside in that; on the
    example inputs and on random ones of the same shapes (whole numbers in another order). All run in eval mode.

    Args:
        joined, models, shares: as ``join`` makes and takes them; not changed.
        example_inputs: one call's inputs.
        fill: writes the values of members into a network like ``joined``.
        hint: called on failure: what may be the reason, one line each.

    Returns:
        That of ``joined`` as it is.

    Raises:
        InputError: outputs that are no floating-point numbers.
        ModelError: the outputs are not the mean, by 1e-9 in float64 and 1e-4 in float32, or forward raises.
    """
    found: dict[torch.dtype, float] = {}
    raised = ""
    for dtype, tolerance in TOLERANCE.items():
        stored, *members = (convert(copy.deepcopy(model), dtype) for model in (joined, *models))
        inputs = _inputs(example_inputs, dtype)
        try:
            rounded = max(_difference(stored, members, shares, each) for each in inputs)
            fill(stored, members)
            found[dtype] = max(_difference(stored, members, shares, each) for each in inputs)
        except InputError:
            raise
        except Exception as error:  # something in this forward may insist on its own precision
            raised = f"{type(error).__name__}: {str(error)[:300]}"
            continue
        if found[dtype] <= tolerance:
            return rounded
    said = [f"they differ by {e:.1e} of the largest in {str(d).removeprefix('torch.')}" for d, e in found.items()]
    why = list(hint())
    more = f"\n  and {len(why) - _SHOWN} more" if len(why) > _SHOWN else ""
    raise ModelError(
        f"the joined network does not give the mean of the members' outputs: {' and '.join(said) or raised}."
        + ("\nThis may be why:\n  " + "\n  ".join(why[:_SHOWN]) + more if why else "")
        + "\nUse an ensemble of these models (netsmith ensemble, netsmith.combining.parallel) instead."
    )


def differences(models: Sequence[nn.Module]) -> list[str]:
    """In what models of equal tensors differ from the first: classes of modules, and numbers that these hold."""
    found = []
    first = dict(modules_of(models[0]))
    for number, other in enumerate(models[1:], start=1):
        for path, module in modules_of(other):
            if path in first and type(module) is not type(first[path]):
                there = f"{type(module).__name__} in model {number}, {type(first[path]).__name__} in model 0"
                found.append(f"{path or 'the model'} is a {there}")
        ours, theirs = int_values(models[0]), int_values(other)
        for key in ours.keys() | theirs.keys():
            if ours.get(key) != theirs.get(key):
                found.append(f"{key} is {theirs.get(key)} in model {number}, {ours.get(key)} in model 0")
        for path, module in modules_of(other):
            for name, value in module.__dict__.items():
                own = first[path].__dict__.get(name) if path in first else None
                if type(value) is float and type(own) is float and value != own:
                    found.append(f"{path}:{name} is {value} in model {number}, {own} in model 0")
        mine, buffers = dict(models[0].named_buffers()), dict(other.named_buffers())
        for name, buffer in buffers.items():
            same = buffer.is_floating_point() or name.endswith("num_batches_tracked") or name not in mine
            if not same and not torch.equal(buffer.cpu(), mine[name].cpu()):
                found.append(f"{name} holds other numbers in model {number} than in model 0")
    return sorted(found)


def _difference(joined: nn.Module, models: Sequence[nn.Module], shares: Sequence[float], inputs: Any) -> float:
    outputs = [_outputs(model, inputs) for model in (joined, *models)]
    if not outputs[0] or not all(t.is_floating_point() for each in outputs for t in each):
        raise InputError("join: these models give something else than floating-point numbers, which has no mean")
    shapes = [[tuple(t.shape) for t in each] for each in outputs]
    if any(each != shapes[1] for each in shapes):
        raise ValueError(f"outputs of shapes {shapes[0]} instead of {shapes[1]}")
    worst = 0.0
    for mine, *theirs in zip(*outputs, strict=True):
        mean = sum((s * t for s, t in zip(shares, theirs, strict=True)), torch.zeros_like(mine))
        gap = torch.where(mine == mean, 0.0, (mine - mean).abs())  # infinities, as of masked scores, are equal
        relative = float(gap.max()) / max(float(mean.nan_to_num(0, 0, 0).abs().max()), 1e-12) if mine.numel() else 0.0
        worst = max(worst, relative if relative == relative else float("inf"))
    return worst


def _outputs(model: nn.Module, inputs: Any) -> list[Tensor]:
    with torch.random.fork_rng(), eval_mode(model), torch.no_grad():
        torch.manual_seed(0)
        return [t.detach() for t in tensors_in(_plain(call_model(model, map_tensors(inputs, torch.clone))))]


def _plain(output: Any) -> Any:
    """A library's output object as the dictionary that it is."""
    return dict(output) if hasattr(output, "keys") else output


def _inputs(example_inputs: Any, dtype: torch.dtype) -> list[Any]:
    generator = torch.Generator().manual_seed(0)

    def drawn(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():
            return torch.randn(tensor.shape, generator=generator, dtype=dtype).to(tensor.device)
        order = torch.randperm(tensor.numel(), generator=generator).to(tensor.device)
        return tensor.flatten()[order].reshape(tensor.shape)

    given = map_tensors(example_inputs, lambda t: t.to(dtype) if t.is_floating_point() else t)
    return [given, map_tensors(example_inputs, drawn)]
