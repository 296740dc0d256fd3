"""Tensors of a model to and from model.safetensors: every slot, each distinct tensor once, bit by bit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ..errors import FileError, ModelError
from ..wiring import tensor_slots
from ..wiring.slots import Slot
from ..wiring.wrapped import is_wrapped
from .integers import parts_of, restored

_MAX_FAULTS = 10


@dataclass(frozen=True)
class Collected:
    """The tensors of one model.

    Attributes:
        tensors: name -> tensor, each distinct tensor object once, under the name of its first slot; of one that stores
            integers its parts (``integers.parts_of``).
        aliases: name of every further slot -> name of the first.
        dim_orders: for tensors that are dense but not row-major, their dimensions from outermost to innermost.
    """

    tensors: dict[str, Tensor]
    aliases: dict[str, str]
    dim_orders: dict[str, list[int]]


def collect(model: nn.Module) -> Collected:
    """Parameters, buffers (persistent or not) and plain tensor attributes of a model.

    Tensors are told apart by object: two parameters that are views of one storage are saved one by one and are no
    longer connected after loading, though equal.

    Raises:
        ModelError: a tensor without values (meta), sparse or quantized; the message lists all of them.
    """
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first_name: dict[int, str] = {}
    faults = []
    for slot in tensor_slots(model):
        tensor = slot.tensor
        if id(tensor) in first_name:
            aliases[slot.name] = first_name[id(tensor)]
        elif tensor.is_meta:
            faults.append(f"{slot.name}: on the meta device, so it has no values")
        elif is_wrapped(tensor):
            first_name[id(tensor)] = slot.name
            tensors |= parts_of(slot.name, tensor)
        elif tensor.layout != torch.strided or tensor.is_quantized or is_traceable_wrapper_subclass(tensor):
            faults.append(f"{slot.name}: {type(tensor).__name__} of {tensor.layout}, not an ordinary dense tensor")
        else:
            first_name[id(tensor)] = slot.name
            tensors[slot.name] = tensor
    if faults:
        raise ModelError(
            f"{len(faults)} tensors of the model cannot be saved:\n{_listing(faults)}\n"
            "Give them values first, e.g. model.to_empty(device='cpu') and load_state_dict. Nothing was written."
        )
    dim_orders = {name: order for name, tensor in tensors.items() if (order := _dim_order(tensor)) is not None}
    return Collected(tensors, aliases, dim_orders)


def write_weights(collected: Collected, path: Path) -> None:
    """Write the tensors as safetensors.

    Raises:
        ModelError: a dtype that the format does not know.
        FileError: the file cannot be written, e.g. because the disk is full.
    """
    # safetensors wants row-major tensors that share no memory; views of one storage become copies.
    storages: set[int] = set()
    ready = {}
    for name, tensor in collected.tensors.items():
        plain = tensor.detach().cpu().contiguous()
        address = plain.untyped_storage().data_ptr()
        whole = plain.untyped_storage().nbytes() == plain.nbytes
        ready[name] = plain if whole and address not in storages else plain.clone()
        storages.add(address)
    path.touch()
    mode = path.stat().st_mode  # what the user's umask asks for; safetensors leaves its file private
    try:
        save_file(ready, path, metadata={"format": "pt"})  # one entry: safetensors shuffles several
    except KeyError as error:
        raise ModelError(f"safetensors cannot hold tensors of {error.args[0]}; convert them before saving") from error
    except SafetensorError as error:
        raise FileError(f"{path.name}: cannot be written ({error}). Give another path.") from error
    path.chmod(mode)


def read_weights(path: Path, dim_orders: dict[str, list[int]]) -> dict[str, Tensor]:
    """Name -> tensor on the CPU, in memory of its own.

    Raises:
        FileError: no complete safetensors file, or a dimension order that does not fit its tensor.
    """
    tensors = {}
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            for name in file.keys():  # noqa: SIM118 (the file is no dict)
                tensor = file.get_tensor(name)
                order = dim_orders.get(name, list(range(tensor.dim())))
                if sorted(order) != list(range(tensor.dim())):
                    raise FileError(f"{path}: dim_orders.{name} in plan.json is no order of {tensor.dim()} dimensions")
                # A copy: the file's tensors are mapped from disk at any address, and kernels may round differently
                # for other alignments. The device is named because load may run inside a user's torch.device(...).
                own = torch.empty_permuted(tensor.shape, order, dtype=tensor.dtype, device="cpu")
                tensors[name] = own.copy_(tensor)
    except (SafetensorError, OSError) as error:
        raise FileError(f"{path}: no complete safetensors file ({error}). Save the model again.") from error
    return tensors


def put_weights(model: nn.Module, tensors: dict[str, Tensor], aliases: dict[str, str], path: Path) -> None:
    """Put every tensor in its slot. Parameters stay parameters; tied slots get one object.

    Raises:
        FileError: a slot without a tensor, a tensor without a slot, or another shape; the message lists all of them.
    """
    slots = list(tensor_slots(model))
    tensors = _with_integers(slots, tensors, aliases, path)
    known = tensors.keys() | aliases.keys()
    faults: list[str] = []
    for slot in slots:
        stored = tensors.get(aliases.get(slot.name, slot.name))
        if stored is None:
            faults.append(f"{slot.name}: in the model, but not in the file")
        elif stored.shape != slot.tensor.shape:
            faults.append(f"{slot.name}: {_shape(stored)} in the file, {_shape(slot.tensor)} in the model")
    faults += [f"{name}: in the file, but not in the model" for name in sorted(known - {slot.name for slot in slots})]
    if faults:
        raise FileError(
            f"{path}: {len(faults)} tensors do not fit the model that build() makes:\n{_listing(faults)}\n"
            "Let build() make the model as it was when the plan was made; tensors that forward keeps between calls "
            "must be cleared before saving."
        )
    objects: dict[str, Tensor] = {}
    for slot in slots:
        name = aliases.get(slot.name, slot.name)
        if name not in objects:
            tensor, old = tensors[name], slot.tensor
            trainable = old.requires_grad and (tensor.is_floating_point() or tensor.is_complex())
            objects[name] = nn.Parameter(tensor, trainable) if isinstance(old, nn.Parameter) else tensor
        slot.holder[slot.key] = objects[name]
    _relink(model, {id(slot.tensor): objects[aliases.get(slot.name, slot.name)] for slot in slots})


def _with_integers(
    slots: list[Slot], tensors: dict[str, Tensor], aliases: dict[str, str], path: Path
) -> dict[str, Tensor]:
    """The tensors with each weight that the plan stores as integers in place of its parts."""
    whole = dict(tensors)
    for slot in slots:
        if is_wrapped(slot.tensor) and slot.name not in aliases:
            whole[slot.name], used = restored(slot.tensor, slot.name, tensors, str(path))
            for name in used:
                whole.pop(name, None)
    return whole


def _relink(model: nn.Module, replaced: dict[int, Tensor]) -> None:
    """Recurrent layers list their own parameters a second time, in an attribute that is no slot."""
    for module in model.modules():
        for value in module.__dict__.values():
            if isinstance(value, list) and any(isinstance(item, Tensor) for item in value):
                value[:] = [replaced.get(id(item), item) for item in value]


def _dim_order(tensor: Tensor) -> list[int] | None:
    """Dimensions from outermost to innermost, where the tensor fills its memory densely but not in row-major order."""
    if tensor.is_contiguous():
        return None
    strides = tensor.stride()
    order = sorted(range(tensor.dim()), key=lambda dim: -strides[dim])
    return order if tensor.permute(order).is_contiguous() else None


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"


def _listing(faults: list[str]) -> str:
    more = [f"  and {len(faults) - _MAX_FAULTS} more"] if len(faults) > _MAX_FAULTS else []
    return "\n".join([f"  {fault}" for fault in faults[:_MAX_FAULTS]] + more)
