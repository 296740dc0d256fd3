"""Runs ``forward`` once on a throw-away twin whose weights are fake tensors.

No data, no compute, no weights in memory: a 70-billion-parameter model on ``meta`` is read like a small one. The
given model is never touched: the twin is a structural copy, its ints remember where they came from, and it is
forgotten afterwards. What forward may have left in caches is cleared.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ..errors import CaptureError, ModelError
from . import provenance, spaces
from .copying import copied
from .fakes import Shortcuts, fake_like, fake_mode
from .inputs import as_arguments, describe, map_tensors
from .keeping import held, same_objects
from .lifetimes import Lifetimes, Watch
from .provenance import Attribute, Expression, SourcedInt
from .recorder import Backstop, Dims, Origin, Recorder, Rule, tensors_in
from .slots import clear_tensor_caches, int_slots, map_ints, tensor_slots


@dataclass
class ModuleCall:
    """Dimensions and origins of the tensors that entered and left one call of a module.

    ``returns``: 0 for a tensor, n for a tuple of n that begins with one and holds nothing else; None otherwise.
    """

    path: str
    first_call: int
    last_call: int
    inputs: list[Dims]
    outputs: list[Dims]
    entered: list[Origin]
    left: list[Origin]
    returns: int | None = None


@dataclass
class Capture:
    """All that one run of forward told."""

    recorder: Recorder
    fake: bool
    tensors: dict[str, tuple[torch.Tensor, Dims]] = field(default_factory=dict)  # slot name -> (real tensor, dims)
    twins: dict[str, int] = field(default_factory=dict)  # slot name -> id of the twin's tensor
    aliases: dict[str, str] = field(default_factory=dict)  # slot name -> the name of the same tensor met first
    rewritten: set[str] = field(default_factory=set)  # slots into which forward puts another tensor
    attributes: dict[str, int] = field(default_factory=dict)
    equalities: list[tuple[Expression, Expression]] = field(default_factory=list)
    module_calls: list[ModuleCall] = field(default_factory=list)
    outputs: list[Dims] = field(default_factory=list)
    output_shapes: list[tuple[int, ...]] = field(default_factory=list)
    output_origins: list[Origin] = field(default_factory=list)
    eval_calls: int = 0  # calls of the forward in eval mode; those of the training forward come after them
    lifetimes: Lifetimes | None = None  # of what they made, where it was asked for
    keeps: bool = False  # something in its modules; asked for with rules
    error: Exception | None = None


@dataclass(frozen=True)
class Resize:
    """How a twin is to differ: new shape of each changed tensor slot, new value of each changed attribute."""

    shapes: Mapping[str, tuple[int, ...]]
    attributes: Mapping[str, int]


def capture(
    model: nn.Module,
    example_inputs: Any,
    *,
    rules: Mapping[Any, Rule] | None,
    resize: Resize | None = None,
    fake: bool = True,
    lifetimes: bool = False,
) -> Capture:
    """Read one call of the model in eval mode.

    Args:
        model: any module; not changed.
        example_inputs: see ``as_arguments``.
        rules: function or name -> rule; None records names and shapes alone.
        resize: run a twin with other widths instead (its errors are kept in ``Capture.error``).
        fake: under fake tensors; False runs real ones on a full copy, for forwards that look at values.
        lifetimes: without rules, also note how long forward holds what its calls make.

    Raises:
        CaptureError: forward raises with these inputs.
        ModelError: the model cannot be copied.
    """
    args, kwargs = as_arguments(example_inputs)
    mode: Any = fake_mode() if fake else contextlib.nullcontext()
    shortcuts: Any = Shortcuts(mode) if fake else contextlib.nullcontext()
    path: list[str] = []
    watch = Watch() if lifetimes else None
    recorder = Recorder(rules, lambda: path[-1] if path else "", watch=watch)
    result = Capture(recorder, fake)
    twin = _twin(model, result, mode if fake else None, resize)
    _tag_ints(twin, result, resize)
    if rules is not None:
        _follow_modules(twin, path, result)
    twin.eval()

    def given(tensor: torch.Tensor) -> torch.Tensor:
        stand_in = mode.from_tensor(tensor) if fake else tensor.clone()
        if rules is not None:
            dims = [spaces.new(n, "a dimension of the model's input") for n in stand_in.shape]
            recorder.put(stand_in, dims, Origin("input"))
        return stand_in

    args, kwargs = map_tensors(args, given), map_tensors(kwargs, given)
    if watch is not None:
        watch.there(slot.tensor for slot in tensor_slots(twin))
        watch.there(tensors_in((args, kwargs)), given=True)
    before = held(twin) if rules is not None else []
    noted = provenance.equalities.set(result.equalities)
    try:
        with (
            _quiet_fakes(),
            _caches_emptied(),
            _same_random_numbers(model),
            torch.no_grad(),
            transparent_functional(),
            mode,
            shortcuts,
            Backstop(recorder) if rules is not None else contextlib.nullcontext(),
            recorder,
        ):
            out = twin(*args, **kwargs)
        result.keeps = rules is not None and not same_objects(before, held(twin))
        for tensor in tensors_in(out):
            result.output_shapes.append(tuple(int(n) for n in tensor.shape))
            if rules is not None:
                _, dims, origin = recorder._entry(tensor)
                result.outputs.append(dims)
                result.output_origins.append(origin)
        result.eval_calls = len(recorder.calls)
        if watch is not None:
            result.lifetimes = watch.lifetimes(result.eval_calls)
        if rules is not None:
            _tie_rewritten(twin, result)
            if _unread_parameters(result):
                _read_training(twin, (args, kwargs), result, mode)
    except Exception as error:
        if resize is None:
            raise CaptureError(
                f"{type(model).__name__}.forward raises with the example inputs ({describe(example_inputs)}):\n"
                f"  {type(error).__name__}: {str(error).strip()[:600]}\n"
                "Give inputs that one call of the model takes; the model has not been changed."
            ) from error
        result.error = error
    finally:
        provenance.equalities.reset(noted)
    return result


def _unread_parameters(result: Capture) -> bool:
    read = {o.name for call in result.recorder.calls for o in call.origins if o.kind == "slot"}
    return any(isinstance(t, nn.Parameter) and name not in read for name, (t, _) in result.tensors.items())


def _read_training(twin: nn.Module, given: tuple[tuple, dict], result: Capture, mode: Any) -> None:
    """Read the forward in train mode as well: it may run branches of its own (auxiliary heads).

    What it ties stays tied. A training forward that cannot be run on the example inputs (it wants targets) is not read;
    parameters that only it reads then stay frozen.
    """
    recorder, modules = result.recorder, len(result.module_calls)
    twin.train()
    for copies in (1, 2):  # batch normalization of single values wants two examples
        try:
            with torch.no_grad(), transparent_functional(), mode:
                args, kwargs = map_tensors(given, lambda t: _repeated(t, copies, recorder))  # noqa: B023
                with Backstop(recorder), recorder:
                    out = twin(*args, **kwargs)
        except Exception:
            continue
        for tensor in tensors_in(out):
            for dim in recorder.dims(tensor):
                spaces.freeze(dim, "a dimension of the model's output in training")
        break
    del result.module_calls[modules:]
    twin.eval()


def _repeated(tensor: torch.Tensor, copies: int, recorder: Recorder) -> torch.Tensor:
    if copies == 1 or tensor.dim() == 0:
        return tensor
    tensor = torch.cat([tensor] * copies)
    recorder.put(tensor, [spaces.new(n, "a dimension of the model's input") for n in tensor.shape], Origin("input"))
    return tensor


# ---------------------------------------------------------------------------------------------------------- the twin


def _twin(model: nn.Module, result: Capture, mode: FakeTensorMode | None, resize: Resize | None) -> nn.Module:
    """A structural copy whose tensors are fake (or real copies), narrowed where a resize says so."""
    memo: dict[int, Any] = {}
    names: dict[int, str] = {}
    with torch.no_grad():
        for slot in tensor_slots(model):
            if id(slot.tensor) in names:
                result.aliases[slot.name] = names[id(slot.tensor)]
                continue
            if type(slot.tensor) not in (torch.Tensor, nn.Parameter, nn.Buffer):
                raise ModelError(
                    f"{slot.name} is a {type(slot.tensor).__name__}; netsmith reads plain tensors and parameters.\n"
                    "Change the structure first and quantize or wrap the weights afterwards."
                )
            names[id(slot.tensor)] = slot.name
            shape = resize.shapes.get(slot.name) if resize else None
            stand_in = _stand_in(slot.tensor, shape, mode)
            memo[id(slot.tensor)] = stand_in
            result.twins[slot.name] = id(stand_in)
            result.tensors[slot.name] = (slot.tensor, [])
            if result.recorder.rules is not None:
                dims = [spaces.new(n) for n in stand_in.shape]
                result.tensors[slot.name] = (slot.tensor, dims)
                result.recorder.put(stand_in, dims, Origin("slot", name=slot.name))
    twin = copied(model, memo)
    clear_tensor_caches(twin)
    return twin


def _stand_in(tensor: torch.Tensor, shape: tuple[int, ...] | None, mode: FakeTensorMode | None) -> torch.Tensor:
    """A fake tensor, or a real copy; of another shape where one is given, with arbitrary units."""
    if mode is not None:
        return fake_like(mode, tensor, shape)
    real = tensor.detach()
    for dim, size in enumerate(shape or ()):
        if size > real.shape[dim]:  # the first ones once more
            real = real.index_select(dim, torch.arange(size, device=real.device) % real.shape[dim])
        real = real.narrow(dim, 0, size)
    return real.clone()


def resized(model: nn.Module, resize: Resize) -> nn.Module:
    """A real copy of the model with other widths and arbitrary units."""
    result = Capture(Recorder(None, lambda: ""), fake=False)
    twin = _twin(model, result, None, resize)
    _tag_ints(twin, result, resize)
    return twin


def _tag_ints(twin: nn.Module, result: Capture, resize: Resize | None) -> None:
    def tag(key: str, value: int) -> int:
        if resize is not None:
            return resize.attributes.get(key, value)
        result.attributes[key] = int(value)
        return SourcedInt(int(value), Attribute(key))

    for slot in list(int_slots(twin)):
        slot.holder[slot.name] = map_ints(slot.value, slot.key, tag)


def _follow_modules(twin: nn.Module, path: list[str], result: Capture) -> None:
    """Hooks on the twin that keep the path of the running module and note what enters and leaves each."""
    starts: list[tuple[int, list[Origin]]] = []

    def enter(name: str, module: nn.Module, args: tuple, kwargs: dict) -> None:
        path.append(name)
        origins = [result.recorder.origin(t) for t in tensors_in((args, kwargs))]  # before anything is overwritten
        starts.append((len(result.recorder.calls), origins))

    def leave(name: str, module: nn.Module, args: tuple, kwargs: dict, out: Any) -> None:
        path.pop()
        dims, given = result.recorder.dims, tensors_in(out)
        (first, entered), last = starts.pop(), len(result.recorder.calls) - 1
        inputs, left = [dims(t) for t in tensors_in((args, kwargs))], [result.recorder.origin(t) for t in given]
        result.module_calls.append(
            ModuleCall(name, first, last, inputs, [dims(t) for t in given], entered, left, _returns(out))
        )

    for name, module in twin.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue  # takes no hooks; its calls count for the module around it
        module.register_forward_pre_hook(functools.partial(enter, name), with_kwargs=True)
        module.register_forward_hook(functools.partial(leave, name), with_kwargs=True)


def _returns(out: Any) -> int | None:
    if isinstance(out, torch.Tensor):
        return 0
    plain = type(out) is tuple and out and isinstance(out[0], torch.Tensor)
    return len(out) if plain and all(isinstance(item, torch.Tensor | None) for item in out) else None


def _tie_rewritten(twin: nn.Module, result: Capture) -> None:
    """A tensor that forward puts in a slot (weight norm as a hook, a running state) has the old one's dimensions."""
    for slot in tensor_slots(twin):
        if slot.name not in result.tensors or id(slot.tensor) == result.twins[slot.name]:
            continue
        result.rewritten.add(slot.name)
        now, before = result.recorder.dims(slot.tensor), result.tensors[slot.name][1]
        if [spaces.size_of(d) for d in now] == [spaces.size_of(d) for d in before]:
            for left, right in zip(now, before, strict=True):
                spaces.unify(left, right)
        else:
            for dim in (*now, *before):
                spaces.freeze(dim, "forward replaces the tensor by one of another shape")


# -------------------------------------------------------------------------------------------------- while it is running


@contextlib.contextmanager
def transparent_functional() -> Iterator[None]:
    """``torch.nn.functional``'s Python wrappers run through, so that only C-level functions reach a function mode.

    They arrive in canonical argument order; ``multi_head_attention_forward`` or ``normalize`` then need no rule. The
    fused fast path of ``nn.MultiheadAttention`` is off meanwhile: it hides its projections and its scale.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    names = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
    before = {name: getattr(F, name) for name in names}
    try:
        for name in names:
            setattr(F, name, _never)
        torch.backends.mha.set_fastpath_enabled(False)
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for name, function in before.items():
            setattr(F, name, function)


@contextlib.contextmanager
def _same_random_numbers(model: nn.Module) -> Iterator[None]:
    """What a forward on real tensors draws, the caller's program draws again."""
    devices = {p.get_device() for p in model.parameters() if p.is_cuda}
    with torch.random.fork_rng(devices=sorted(devices)):
        yield


@contextlib.contextmanager
def _quiet_fakes() -> Iterator[None]:
    """A forward that cannot run on fake tensors is our business to report: torch would log a traceback first."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _never(*args: object) -> bool:
    return False


@contextlib.contextmanager
def _caches_emptied() -> Iterator[None]:
    """Clear the lru_caches that grew: a cached fake tensor or remembered int would leak into later, real calls."""
    wrappers = _lru_caches()
    before = [wrapper.cache_info().currsize for wrapper in wrappers]
    try:
        yield
    finally:
        known = {id(wrapper) for wrapper in wrappers}
        fresh = [wrapper for wrapper in _lru_caches() if id(wrapper) not in known]  # made by imports inside forward
        for wrapper, size in zip([*wrappers, *fresh], [*before, *[0] * len(fresh)], strict=True):
            if wrapper.cache_info().currsize != size:
                wrapper.cache_clear()


_found_caches: tuple[int, list[Any]] = (-1, [])


def _lru_caches() -> list[Any]:
    """Every lru_cache of the process but torch's own. Looked for again only after something was imported."""
    global _found_caches
    if _found_caches[0] != len(sys.modules):
        own = ("torch.", "sympy", "inspect", "re", "typing")
        found = gc.get_referrers(functools._lru_cache_wrapper)  # its instances: half the time of get_objects()
        caches = [w for w in found if type(w) is functools._lru_cache_wrapper]
        _found_caches = len(sys.modules), [w for w in caches if not (w.__module__ or "").startswith(own)]
    return _found_caches[1]
