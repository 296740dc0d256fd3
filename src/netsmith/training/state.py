"""A run's tensors, under the names that a checkpoint gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from ..errors import FileError, InputError
from .sharding import shared_as

_OF_OPTIMIZERS = ("step", "momentum_buffer", "exp_avg", "exp_avg_sq")


def tensors_of(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Parameters and buffers, those that state dicts leave out too, each once; the tensors themselves.

    Raises:
        InputError: a module keeps state that is no tensor.
    """
    own = [name for name, m in module.named_modules() if type(m).get_extra_state is not nn.Module.get_extra_state]
    if own:
        raise InputError(
            f"{own[0] or 'the model'} keeps an extra state of its own, which a checkpoint cannot hold; "
            "train without a checkpoint"
        )
    return {f"{prefix}/{name}": tensor for name, tensor in (*module.named_parameters(), *module.named_buffers())}


def restore_tensors(into: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Copy saved values into tensors of the same names.

    Raises:
        FileError: one is missing, or has another shape or dtype; nothing was copied.
    """
    wrong = [
        f"{name}: {describe(saved.get(name))} in the checkpoint, {describe(tensor)} in the model"
        for name, tensor in into.items()
        if describe(saved.get(name)) != describe(tensor)
    ]
    if wrong:
        more = f"\n  … and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise FileError("the checkpoint is of another model:\n  " + "\n  ".join(wrong[:4]) + more)
    with torch.no_grad():
        for name, tensor in into.items():
            tensor.copy_(shared_as(tensor, saved[name]))


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Momentum and moments, by the number of their parameter."""
    return {
        f"optimizer/{index}/{key}": value
        for index, entries in optimizer.state_dict()["state"].items()
        for key, value in entries.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Tensor]) -> None:
    """Give an optimizer its tensors back.

    Raises:
        FileError: entries that fit none of its parameters.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for index, key, name in _entries(saved):
        shape = tuple(saved[name].shape)
        known = key in _OF_OPTIMIZERS and index.isdecimal() and int(index) < len(parameters)
        if not known or shape != (() if key == "step" else tuple(parameters[int(index)].shape)):
            raise FileError(f"the checkpoint's {name} fits no parameter; it is damaged or of another model")
        whole = key == "step"  # a count, which no process holds a part of
        value = saved[name] if whole else shared_as(parameters[int(index)], saved[name])
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def random_tensors(device: torch.device) -> dict[str, Tensor]:
    """torch's random states, as bytes."""
    found = {"random/cpu": torch.get_rng_state()}
    if device.type == "cuda":
        found["random/cuda"] = torch.cuda.get_rng_state(device)
    return found


def restore_random(saved: Mapping[str, Tensor], rank: int, device: torch.device) -> None:
    """Set the random states of one process.

    Raises:
        FileError: the checkpoint holds none that torch can take.
    """
    try:
        # Copies: a row of the whole need not lie where torch can read a state from, and it crashes then.
        torch.set_rng_state(saved["random/cpu"][rank].clone())
        if device.type == "cuda":
            torch.cuda.set_rng_state(saved["random/cuda"][rank].clone(), device)
    except (KeyError, IndexError, RuntimeError, TypeError) as error:
        raise FileError(f"the checkpoint holds no random state that fits ({error}); it is damaged") from error


def describe(tensor: Tensor | None) -> str:
    return "nothing" if tensor is None else f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _entries(saved: Mapping[str, Tensor]) -> Iterator[tuple[str, str, str]]:
    for name in saved:
        kind, _, rest = name.partition("/")
        if kind == "optimizer":
            index, _, key = rest.partition("/")
            yield index, key, name
