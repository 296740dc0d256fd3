"""``plan_precision``: which weights to store as integers, by a scheme or under a budget of bytes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch

from ..data.running import eval_mode
from ..errors import EvidenceError, InputError, ModelError
from ..wiring import Wiring, call_model
from ..wiring.wrapped import is_wrapped
from .budget import Budget, check_saving
from .edits import SetPrecision
from .plan import Plan
from .protection import protected_tensors
from .sensitivity import cheapest, sensitivities
from .stored import need_torchao, set_precisions

Scheme = Literal["int8", "int4", "dynamic-int8"]
Clip = Literal["max", "percentile", "mse", "kl"]
Progress = Callable[[int, int, str], None]

# function -> where among its tensor arguments the weight is
_READERS = {"linear": 1, "embedding": 0, "conv2d": 1}
_SCHEMES: dict[str, tuple[Literal[8, 4], bool]] = {"int8": (8, False), "int4": (4, False), "dynamic-int8": (8, True)}
_SMALLEST = 256  # elements: of a smaller weight the scales and headers cost as much as is saved


def plan_precision(
    wiring: Wiring,
    *,
    scheme: Scheme | None = None,
    budget: Budget | None = None,
    data: Iterable[Any] | None = None,
    group: int = 0,
    clip: Clip = "max",
    ignore: Iterable[str] = (),
    embeddings: bool = True,
    progress: Progress | None = None,
) -> Plan:
    """Plan to store the weights of linear layers, embeddings and convolutions as integers.

    With a scheme all of them become alike. With a budget of bytes each is measured: how much the outputs change (mean
    KL divergence of class scores, else relative squared error) when it alone is stored in 8 or in 4 bits; then bytes
    are saved where they cost the least.

    Args:
        wiring: of the model, from ``trace``.
        scheme: "int8" and "int4" store weights; "dynamic-int8" also rounds the inputs of linear layers, row by row,
            while running. Four bits are four bits in the file; torchao computes on one byte each on the CPU.
        budget: ``Budget(bytes=...)`` instead of a scheme: of the saved tensors; a share of the model's bytes.
        data: unlabelled batches for the budget.
        group: how many inputs of an output share a scale, for 4 bits; 0: all. Weights whose inputs it does not divide
            have one scale an output.
        clip: how clipping thresholds are found: "max", "percentile", "mse" or "kl".
        ignore: leave weights of modules with such names alone, e.g. ``["head", "layer1.*"]``.
        embeddings: store embeddings too.
        progress: called with (weights measured, weights in all, name).

    Returns:
        A plan; ``left`` says which weights stay floats and why. A copy of the model was run with it.

    Raises:
        InputError: neither or both of scheme and budget, or an option out of range.
        EvidenceError: a budget without data. BudgetError: less than 4 bits everywhere would be needed.
        MissingExtraError: torchao is absent.

    Example:
        >>> plan = plan_precision(wiring, scheme="int8")  # doctest: +SKIP
    """
    _check(wiring, scheme, budget, data, group, clip)
    need_torchao()
    weights, left = _weights(wiring, protected_tensors(wiring, ignore), embeddings)
    if scheme is not None:
        bits, dynamic = _SCHEMES[scheme]
        edits = {
            name: _edit(wiring, name, use, bits, group, clip, dynamic and use == "linear")
            for name, use in weights.items()
        }
    else:
        assert budget is not None and data is not None
        menus = {
            name: [_edit(wiring, name, use, bits, group, clip, False) for bits in (8, 4)]
            for name, use in weights.items()
        }
        edits = cheapest(wiring, budget, sensitivities(wiring, menus, data, progress=progress))
    edits, failed = _that_run(wiring, edits)
    return Plan(tuple(edits.values()), {}, {}, {}, wiring.fingerprint, left={**left, **failed})


def _check(wiring: Any, scheme: Any, budget: Any, data: Any, group: Any, clip: Any) -> None:
    if not isinstance(wiring, Wiring):
        raise InputError(f"wiring is a {type(wiring).__name__}; give what trace(model, example_inputs) returns")
    if (scheme is None) == (budget is None):
        raise InputError("give one of scheme (e.g. 'int8') and budget (of bytes, e.g. 25%)")
    if scheme is not None and scheme not in _SCHEMES:
        raise InputError(f"scheme={scheme!r}; give one of {', '.join(map(repr, _SCHEMES))}")
    if budget is not None and (not isinstance(budget, Budget) or budget.bytes is None):
        raise InputError("the budget limits bytes, e.g. bytes=25%")
    if budget is not None:
        check_saving(budget)
    if budget is not None and data is None:
        raise EvidenceError("a budget is divided by what rounding does to the outputs on data; give data")
    if not isinstance(group, int) or group < 0:
        raise InputError(f"group={group!r} must be an int ≥ 0")
    if clip not in ("max", "percentile", "mse", "kl"):
        raise InputError(f"clip={clip!r}; give 'max', 'percentile', 'mse' or 'kl'")
    if any(t.is_meta for t in wiring.tensors.values()):
        raise ModelError("there are weights on 'meta'; quantization rounds values: load them first")
    if any(is_wrapped(t) for t in wiring.tensors.values()):
        raise ModelError("the model stores weights as integers already; plan from the original")


def _weights(wiring: Wiring, ignored: set[str], embeddings: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Weight -> the function that reads it, and matrices left as they are -> why."""
    readers: dict[str, set[str]] = {}
    for call in wiring.calls:
        for position, origin in enumerate(call.origins):
            if origin.kind == "slot" and _is_weight(wiring.tensors[origin.name]):
                known = _READERS.get(call.name) == position
                readers.setdefault(origin.name, set()).add(call.name if known else f"{call.name} argument")
    weights, left = {}, {}
    for name, found in readers.items():
        tensor = wiring.tensors[name]
        other = sorted(found - _READERS.keys())
        if other or (len(found) > 1 and found != {"linear", "embedding"}):
            left[name] = f"is read by {', '.join(other or sorted(found))}, which needs floats"
        elif name in ignored:
            left[name] = "is to be ignored"
        elif "embedding" in found and not embeddings:
            left[name] = "is an embedding"
        elif tensor.numel() < _SMALLEST:
            left[name] = f"has only {tensor.numel()} elements"
        else:
            weights[name] = "linear" if "linear" in found else min(found)
    return weights, left


def _is_weight(tensor: torch.Tensor) -> bool:
    return isinstance(tensor, torch.nn.Parameter) and tensor.dim() > 1 and tensor.is_floating_point()


def _edit(
    wiring: Wiring, name: str, use: Any, bits: Literal[8, 4], group: int, clip: Clip, dynamic: bool
) -> SetPrecision:
    inputs = wiring.tensors[name].shape[1]
    fits = bits == 4 and 0 < group < inputs and inputs % group == 0
    return SetPrecision(name, use, bits, group if fits else 0, clip, dynamic)


def _that_run(wiring: Wiring, edits: dict[str, SetPrecision]) -> tuple[dict[str, SetPrecision], dict[str, str]]:
    """The edits with which a copy of the model runs on the example inputs, and the others -> why."""
    if _fault(wiring, tuple(edits.values())) is None:
        return edits, {}
    good: dict[str, SetPrecision] = {}
    failed = {}
    for name, edit in edits.items():
        fault = _fault(wiring, (*good.values(), edit))
        if fault is None:
            good[name] = edit
        else:
            failed[name] = fault
    return good, failed


def _fault(wiring: Wiring, edits: tuple[SetPrecision, ...]) -> str | None:
    twin = copy.deepcopy(wiring.model)
    set_precisions(twin, edits)
    try:
        with torch.random.fork_rng(devices=[]), eval_mode(twin), torch.no_grad():
            call_model(twin, wiring.example_inputs)
    except Exception as error:  # whatever torchao lacks for this use of the weight
        return f"does not run as integers: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    return None
