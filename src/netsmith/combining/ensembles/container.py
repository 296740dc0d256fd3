"""What every ensemble is: an ordinary module that holds its members, untouched, under their names."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from ...data.running import logits
from ...errors import InputError, ModelError
from ...wiring.recorder import tensors_in

Members = Mapping[str, nn.Module] | Sequence[nn.Module]


class Ensemble(nn.Module):
    """Members that get the same arguments. Sub-classes say what becomes of their outputs.

    Attributes:
        members: the members, in order.
        names: of the members, in the same order.
    """

    def __init__(self, members: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members.values())
        self.names = tuple(members)

    def named_members(self) -> dict[str, nn.Module]:
        """Name -> member."""
        return dict(zip(self.names, self.members, strict=True))

    def member_scores(self, *args: Any, **kwargs: Any) -> Tensor:
        """(M, N, C): what each member returns for these arguments."""
        return torch.stack([logits(member(*args, **kwargs)) for member in self.members])


def named(members: Members) -> dict[str, nn.Module]:
    """Copies of the members in eval mode by name; the given models stay as they are.

    Args:
        members: name -> model, or models alone, which are called "0", "1", ...

    Raises:
        InputError: no member, something that is no module, or a name that is empty, of more than 100 characters, starts
            with "_" or holds a slash.
        ModelError: a member cannot be copied.
    """
    if isinstance(members, nn.Module) or not isinstance(members, Mapping | Sequence):
        raise InputError(f"members is a {type(members).__name__}; give a list of models, or a dict of name -> model")
    given = dict(members) if isinstance(members, Mapping) else {str(i): m for i, m in enumerate(members)}
    if not given:
        raise InputError("an ensemble needs at least one member; give a list of models, or a dict of name -> model")
    for name, model in given.items():
        if not isinstance(model, nn.Module):
            raise InputError(f"member {name!r} is a {type(model).__name__}, not a torch.nn.Module")
        if (
            not isinstance(name, str)
            or not 0 < len(name) <= 100
            or not name.isprintable()
            or name[0] == "_"
            or "/" in name
        ):
            raise InputError(f"member name {name!r:.120}: use a short text without a slash, e.g. 'resnet20'")
    try:
        return {name: copy.deepcopy(model).eval() for name, model in given.items()}
    except Exception as error:  # deepcopy runs the models' own code
        raise ModelError(f"a member cannot be copied: {type(error).__name__}: {error}") from error


def being_read(*values: Any) -> bool:
    """Whether forward runs to be exported, compiled or traced, where it must not look at values."""
    return torch.compiler.is_compiling() or any(isinstance(tensor, FakeTensor) for tensor in tensors_in(values))
