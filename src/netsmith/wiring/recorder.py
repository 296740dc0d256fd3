"""Watches the torch functions that a forward calls and lets their rules relate the dimensions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from . import spaces
from .lifetimes import Watch
from .provenance import Expression, SizeOf, SourcedInt
from .spaces import Dim

Dims = list[Dim]
Rule = Callable[["Call"], "Dims | list[Dims] | None"]


def tensors_in(value: Any) -> list[torch.Tensor]:
    """Every tensor in nested lists, tuples, dicts and dataclass-like outputs, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    elif hasattr(value, "__dataclass_fields__"):
        value = [getattr(value, name) for name in value.__dataclass_fields__]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in tensors_in(item)]
    return []


@dataclass(frozen=True)
class Origin:
    """Where the value of an input comes from: a slot, an earlier call, the model's input, or nowhere known.

    Attributes:
        kind: "slot", "call", "input" or "constant".
        name: slot name; "" otherwise.
        call: index of the call that made it; -1 otherwise.
        output: which output of that call.
    """

    kind: str
    name: str = ""
    call: int = -1
    output: int = 0


@dataclass
class Recorded:
    """One call as it was read: shapes, dimensions, and where its inputs came from."""

    name: str
    module: str
    origins: list[Origin]
    inputs: list[Dims]
    outputs: list[Dims]
    output_shapes: list[tuple[int, ...]]
    input_shapes: list[tuple[int, ...]]
    note: str = ""  # see ``_note``


class Call:
    """What a rule sees of one call of a torch function.

    Attributes:
        name: canonical name of the function, without the trailing underscore of in-place forms.
        args, kwargs: as passed.
        out: what the function returned (fake tensors: shapes are real, values are not).
    """

    def __init__(self, recorder: Recorder, name: str, args: tuple, kwargs: dict, out: Any):
        self.recorder, self.name, self.args, self.kwargs, self.out = recorder, name, args, kwargs, out

    def arg(self, position: int, name: str = "", default: Any = None) -> Any:
        """Argument by position, else by name."""
        return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)

    def ints(self, position: int, name: str) -> list:
        """Arguments from a position on that were passed as ``1, 2, 3`` or as one ``(1, 2, 3)``."""
        values = self.args[position:] if len(self.args) > position else self.kwargs.get(name, ())
        if isinstance(values, (tuple, list)) and len(values) == 1 and isinstance(values[0], (tuple, list)):
            values = values[0]
        return list(values) if isinstance(values, (tuple, list)) else [values]

    def tensors(self) -> list[torch.Tensor]:
        return tensors_in((self.args, self.kwargs))

    def outputs(self) -> list[torch.Tensor]:
        return tensors_in(self.out)

    def dims(self, tensor: torch.Tensor) -> Dims:
        return self.recorder.dims(tensor)

    def freeze(self, dims: Dim | Dims, why: str) -> None:
        for dim in dims if dims and isinstance(dims[0], list) else [dims]:
            spaces.freeze(dim, why)  # type: ignore[arg-type]

    def equal_size(self, value: Any, dim: Dim, why: str) -> None:
        """``value``, an int of the program, must be the size of ``dim``: a constraint, or a freeze if it is literal."""
        if value is None or isinstance(value, torch.Tensor) or int(value) < 0:
            return
        if int(value) != spaces.size_of(dim):
            spaces.freeze(dim, f"{why} that disagrees with the tensor")
        elif isinstance(value, SourcedInt):
            self.recorder.constraints.append((value.expression, SizeOf(dim)))
        else:
            spaces.freeze(dim, why)

    def equal_sizes(self, left: Dim, right: Dim) -> None:
        """Two dimensions must keep one size, without being the same axis."""
        self.recorder.constraints.append((SizeOf(left), SizeOf(right)))

    def from_int(self, value: Any, why: str = "made with a size written in the code") -> Dim:
        """A new dimension whose size is an int of the program."""
        if isinstance(value, SourcedInt):
            dim = spaces.new(int(value))
            self.recorder.constraints.append((value.expression, SizeOf(dim)))
            return dim
        return spaces.new(int(value), why)

    def statistic(self, dim: Dim) -> None:
        """The function takes a statistic over this dimension: removing units changes it."""
        self.recorder.statistics.append((dim, f"{self.name} in {self.recorder.module() or 'the model'}"))

    def keep_end(self, dim: Dim, first: bool) -> None:
        """The program reads the first (or last) unit of this dimension by its position: that unit must stay."""
        self.recorder.pinned.append((dim, first))

    def made_by(self, tensor: torch.Tensor) -> str:
        """Name of the function that made a tensor; "" where no recorded call did."""
        origin = self.recorder._entry(tensor)[2]
        return self.recorder.calls[origin.call].name if origin.kind == "call" else ""

    def positions(self, dim: Dim, output: int) -> None:
        """This output of the call names units of the dimension by position: if it is read, they must stay."""
        self.recorder.named.append((dim, Origin("call", call=len(self.recorder.calls), output=output)))

    def aligned(self, dim: Dim, multiple: int) -> None:
        """The function's kernel wants the size of this dimension to be a multiple of this."""
        if multiple > 1:
            self.recorder.alignments.append((dim, multiple))

    def role(self, tensor: Any, dim: int, role: str) -> None:
        """Say how a parameter's dimension meets its axis: "producer", "consumer" or "pointwise"."""
        if isinstance(tensor, torch.Tensor):
            self.recorder.roles.setdefault((id(tensor), dim % max(tensor.dim(), 1)), role)


def constants(tensor: torch.Tensor, why: str = "computed without parameters") -> Dims:
    return [spaces.new(int(n), why) for n in tensor.shape]


@dataclass(eq=False)
class Recorder(TorchFunctionMode):
    """Reads a forward. With ``rules=None`` it only notes names and shapes, to compare an edit with its promise."""

    rules: Mapping[Any, Rule] | None
    module: Callable[[], str]
    calls: list[Recorded] = field(default_factory=list)
    constraints: list[tuple[Expression, Expression]] = field(default_factory=list)
    statistics: list[tuple[Dim, str]] = field(default_factory=list)
    pinned: list[tuple[Dim, bool]] = field(default_factory=list)
    named: list[tuple[Dim, Origin]] = field(default_factory=list)
    alignments: list[tuple[Dim, int]] = field(default_factory=list)
    roles: dict[tuple[int, int], str] = field(default_factory=dict)
    unsupported: dict[str, list[str]] = field(default_factory=dict)
    watch: Watch | None = None  # with rules tensors are held: how long forward holds them shows only without

    def __post_init__(self) -> None:
        super().__init__()
        self._current = ""
        self.inside = False  # a recorded function is running
        # id -> (tensor, dims, origin); the tensor is held so that its id stays its own
        self._table: dict[int, tuple[torch.Tensor, Dims, Origin]] = {}

    # -------------------------------------------------------------------------------------------- what is known
    def put(self, tensor: torch.Tensor, dims: Dims, origin: Origin) -> None:
        self._table[id(tensor)] = (tensor, dims, origin)

    def dims(self, tensor: torch.Tensor) -> Dims:
        """Dimensions of a tensor; one that was never seen is a constant."""
        return self._entry(tensor)[1]

    def origin(self, tensor: torch.Tensor) -> Origin:
        """Where its value comes from."""
        return self._entry(tensor)[2]

    def _entry(self, tensor: torch.Tensor) -> tuple[torch.Tensor, Dims, Origin]:
        entry = self._table.get(id(tensor))
        if entry is None:
            with torch._C.DisableTorchFunction():
                entry = (tensor, constants(tensor, "a constant of the program"), Origin("constant"))
            self._table[id(tensor)] = entry
        return entry

    def where(self) -> str:
        """Module path and source line of the call being read."""
        frame = sys._getframe(1)
        while frame is not None and _is_library(frame.f_code.co_filename):
            frame = frame.f_back  # type: ignore[assignment]
        line = f" ({frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno})" if frame is not None else ""
        return f"{self._current} of {self.module() or 'the model'}{line}"

    def bypassed(self, tensor: torch.Tensor, name: str) -> None:
        """An operation that no function mode saw was given this tensor."""
        entry = self._table.get(id(tensor))
        if entry is not None and any(not spaces.is_frozen(dim) for dim in entry[1]):
            place = self.module() or "the model"
            why = f"{name}: not called through torch's Python functions"
            self.unsupported.setdefault(why, []).append(place)
            for dim in entry[1]:
                spaces.freeze(dim, f"{why}, in {place}")

    # ------------------------------------------------------------------------------------------------- recording
    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        outer, self.inside = self.inside, True  # rules may call functions too
        try:
            return self._record(func, args, kwargs or {})
        finally:
            self.inside = outer

    def _record(self, func: Any, args: tuple, kwargs: dict) -> Any:
        if self.watch is not None:
            self.watch.before(len(self.calls))
        out = func(*args, **kwargs)
        name = function_name(func)
        if self.rules is None:
            outs = tensors_in(out)
            if counts(name, outs):
                if self.watch is not None:
                    self.watch.made(len(self.calls), outs)
                shapes = [tuple(int(n) for n in t.shape) for t in outs]
                given = [tuple(int(n) for n in t.shape) for t in tensors_in((args, kwargs))]
                self.calls.append(Recorded(name, self.module(), [], [], [], shapes, given, _note(name, args, kwargs)))
            return out
        self._current = name
        token = spaces.location.set(self.where)
        try:
            return self._read(func, name, args, kwargs, out)
        finally:
            spaces.location.reset(token)

    def _read(self, func: Any, name: str, args: tuple, kwargs: dict, out: Any) -> Any:
        sized = self._sizes(name, args, kwargs, out)
        if sized is not None:
            return sized
        outs = tensors_in(out)
        base = name if name.startswith("__") or not name.endswith("_") else name[:-1]
        call = Call(self, base, args, kwargs, out)
        given = call.tensors()
        if not counts(name, outs):
            return out
        before = [self._entry(tensor) for tensor in given]
        index = len(self.calls)
        dims = self._apply_rule(func, call)
        unchanged = {id(tensor) for tensor in given} if not writes(name) else set()
        for i, (tensor, ds) in enumerate(zip(outs, dims, strict=True)):
            if id(tensor) not in unchanged:  # x.float() of a float tensor is x itself
                self.put(tensor, ds, Origin("call", call=index, output=i))
        if writes(name):
            self._overwritten(args[0], index)
        with torch._C.DisableTorchFunction():
            self.calls.append(
                Recorded(
                    name,
                    self.module(),
                    [origin for _, _, origin in before],
                    [ds for _, ds, _ in before],
                    dims,
                    [tuple(int(n) for n in t.shape) for t in outs],
                    [tuple(int(n) for n in t.shape) for t in given],
                    _note(name, args, kwargs),
                )
            )
        return out

    def _overwritten(self, tensor: torch.Tensor, index: int) -> None:
        """After an in-place call the tensor's value is that call's."""
        _, dims, _ = self._entry(tensor)
        self.put(tensor, dims, Origin("call", call=index))

    def _sizes(self, name: str, args: tuple, kwargs: dict, out: Any) -> Any:
        """Shapes come back as ints that remember their dimension; None for other calls."""
        if name == "shape.get" or (name == "size" and len(args) + len(kwargs) == 1):
            dims = self.dims(args[0])
            return torch.Size(
                SourcedInt(int(n), SizeOf(d)) if n > 1 else int(n) for n, d in zip(out, dims, strict=True)
            )
        if name == "size":
            dim = self.dims(args[0])[args[1] if len(args) > 1 else kwargs["dim"]]
            return SourcedInt(int(out), SizeOf(dim)) if out > 1 else out
        if name in ("numel", "nelement") and out > 1:
            return SourcedInt(int(out), SizeOf([space for dim in self.dims(args[0]) for space in dim]))
        return None

    def _apply_rule(self, func: Any, call: Call) -> list[Dims]:
        outs = call.outputs()
        assert self.rules is not None
        if any(is_functorch_wrapped_tensor(tensor) for tensor in (*call.tensors(), *outs)):
            return self._give_up(call, "it runs under vmap or another functorch transform")
        rule = self.rules.get(func) or self.rules.get(call.name)
        if rule is None:
            return self._give_up(call, "no wiring rule")
        try:
            result: Any = rule(call)
        except Exception as error:  # a rule that does not understand its call freezes what the call touches
            return self._give_up(call, f"the rule failed with {type(error).__name__}: {error}")
        if result is None:
            return self._give_up(call, "the rule gave no dimensions") if outs else []
        dims = [result] if isinstance(call.out, torch.Tensor) else list(result)
        for tensor, ds in zip(outs, dims, strict=False):
            if [spaces.size_of(dim) for dim in ds] != [int(n) for n in tensor.shape]:
                return self._give_up(call, "the rule gave other sizes than the function")
        if len(dims) != len(outs):
            return self._give_up(call, "the rule gave another number of outputs than the function")
        return [[list(dim) for dim in ds] for ds in dims]

    def _give_up(self, call: Call, why: str) -> list[Dims]:
        place = self.where()
        self.unsupported.setdefault(f"{call.name}: {why}", []).append(place)
        for tensor in call.tensors():
            call.freeze(self.dims(tensor), f"{call.name}: {why}")
        return [constants(tensor, f"{call.name}: {why}, in {place}") for tensor in call.outputs()]


class Backstop(TorchDispatchMode):
    """Sees operations that reach no recorded function (TorchScript, C++ extensions) and freezes what they touch."""

    def __init__(self, recorder: Recorder):
        super().__init__()
        self._recorder = recorder

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled under it: torch need not wrap each call against that

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if not self._recorder.inside and func.namespace != "prim":  # prim: what device, what layout
            for tensor in tensors_in((args, kwargs)):
                self._recorder.bypassed(tensor, str(func))
        return func(*args, **(kwargs or {}))


def counts(name: str, outs: list[torch.Tensor]) -> bool:
    """Whether a call is one of those that ``Wiring.calls`` lists.

    ``empty_strided`` is not: torch calls it inside (vmap, TorchScript), once or not at all, as its caches please.
    """
    return (bool(outs) and name != "empty_strided") or name == "__setitem__"


def _note(name: str, args: tuple, kwargs: dict) -> str:
    """The arguments that later rooms need and shapes do not tell: einsum's equation, batch_norm's epsilon, limits."""
    if name == "einsum":
        return str(args[0])
    if name == "batch_norm":
        return repr(float(args[7] if len(args) > 7 else kwargs.get("eps", 1e-5)))
    if name in ("hardtanh", "hardtanh_"):
        low, high = args[1:3] if len(args) > 2 else (kwargs.get("min_val", -1.0), kwargs.get("max_val", 1.0))
        return f"{float(low)!r} {float(high)!r}"
    return ""


_WRITING_OPERATORS = (
    "__setitem__",
    "__iadd__",
    "__isub__",
    "__imul__",
    "__itruediv__",
    "__idiv__",
    "__iand__",
    "__ior__",
)


def writes(name: str) -> bool:
    """Whether the function changes its first argument in place."""
    return name in _WRITING_OPERATORS or (name.endswith("_") and not name.startswith("__"))


def _is_library(path: str) -> bool:
    """Frames inside torch and netsmith are not where the user's code is."""
    return "/torch/" in path or "/netsmith/wiring/" in path or "\\torch\\" in path


def function_name(func: Any) -> str:
    """Canonical name of a torch function: ``conv2d``, ``__add__``, ``shape.get``."""
    if isinstance(func, torch._ops.OpOverload):
        return func._schema.name.split("::")[-1]
    name = getattr(func, "__name__", type(func).__name__)
    if name in ("__get__", "__set__"):
        return f"{getattr(func.__self__, '__name__', '')}.{name.strip('_')}"
    return name
