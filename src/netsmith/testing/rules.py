"""The contract of a rule: nature decides whether units are where the rule says.

Every number below is found by running the real function: nudge one unit of an input, see which results move.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch

from ..wiring import spaces
from ..wiring.provenance import Attribute, SourcedInt
from ..wiring.recorder import Call, Dims, Origin, Recorder, Rule, function_name, tensors_in, writes
from ..wiring.spaces import Space
from .reading import Reading
from .runs import Subject, mapped


def check_rule(rule: Rule, function: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    """Hold a rule to its contract on one call of its function.

    The function runs on the tensors given, the rule reads that call. Then, for each unit of each axis that the rule
    leaves free:

    * an axis that an output holds: nudging the unit in an input moves the outputs at that unit, and nowhere else; if
      need be once it is zero in the other inputs (a recurrent layer feeds its units back);
    * an axis that no output holds: the unit is not read at all, or where it is zero in one input nothing of it is seen
      in the others (a sum over the axis), or, with the unit at zero in all inputs, taking it out of them changes
      nothing (a distance).

    What the rule freezes or marks as a statistic, and units that it keeps in their place, are exempt. Ints among the
    arguments stand for attributes of a model, so they freeze nothing.

    Args:
        rule: a function of one ``Call``; see CONTRIBUTING.
        function: what the rule is for, as forward calls it: ``torch.roll``, ``torch.Tensor.add_``, ...
        args, kwargs: of one call. Small tensors of random floats in sizes that differ from each other show most.

    Returns:
        How many axes were proved; 0 says that the rule froze everything.

    Raises:
        AssertionError: the rule raises, gives other sizes than the function, or ties units that do not belong
            together; the message names the tensor, the dimension and the unit.

    Example:
        >>> from netsmith.wiring.rules import DEFAULT_RULES
        >>> check_rule(DEFAULT_RULES["transpose"], torch.transpose, torch.randn(4, 6), 0, 1)
        2
    """
    reading = _read(rule, function, args, kwargs)
    for leaf in reading.free:
        for unit in range(leaf.size):
            if unit not in reading.pinned.get(leaf, ()):
                fault = reading.fault(leaf, unit)
                if fault:
                    raise AssertionError(f"{reading.name}: {fault}")
    return len(reading.free)


def _read(rule: Rule, function: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Reading:
    name = function_name(function)
    subject = Subject(function, args, kwargs, writes(name))
    tensors = subject.tensors()
    out, results = subject.run({})
    recorder = Recorder({}, lambda: "")
    for tensor in tensors:
        recorder.put(tensor, [spaces.new(int(n)) for n in tensor.shape], Origin("input"))
    numbers = itertools.count()
    seen_args, seen_kwargs = mapped(
        (args, kwargs), lambda t: t, lambda n: SourcedInt(n, Attribute(f"argument {next(numbers)}"))
    )
    base = name if name.startswith("__") or not name.endswith("_") else name[:-1]
    try:
        answer: Any = rule(Call(recorder, base, seen_args, seen_kwargs, out))
    except Exception as error:
        raise AssertionError(f"{name}: the rule failed with {type(error).__name__}: {error}") from error
    dims = [] if answer is None else [answer] if isinstance(out, torch.Tensor) else list(answer)
    outs = tensors_in(out)
    if len(dims) != len(outs):
        raise AssertionError(f"{name}: the function has {len(outs)} outputs, the rule gave dimensions of {len(dims)}")
    for o, (tensor, own) in enumerate(zip(outs, dims, strict=True)):
        sizes = tuple(spaces.size_of(dim) for dim in own)
        if sizes != tuple(tensor.shape):
            raise AssertionError(f"{name}: output {o} has shape {tuple(tensor.shape)}, the rule gave sizes {sizes}")
    if subject.writes:
        dims.append(recorder.dims(args[0]))
    return _reading(name, subject, results, recorder, dims)


def _reading(name: str, subject: Subject, results: list[torch.Tensor], recorder: Recorder, dims: list[Dims]) -> Reading:
    tensors = subject.tensors()
    statistics = {leaf for dim, _ in recorder.statistics for leaf in spaces.leaves(dim)}
    below = dict.fromkeys(leaf for t in tensors for dim in recorder.dims(t) for leaf in spaces.leaves(dim))
    pinned: dict[Space, set[int]] = {}
    for dim, first in recorder.pinned:
        for leaf in spaces.ends(dim, first):
            pinned.setdefault(leaf, set()).add(0 if first else leaf.size - 1)
    free = [leaf for leaf in below if not leaf.frozen and leaf not in statistics and leaf.size > 1]
    return Reading(name, subject, results, tensors, [recorder.dims(t) for t in tensors], dims, free, pinned)
