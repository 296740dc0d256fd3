"""What the recorder hands to rules, and what it does about rules that fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

import netsmith
from netsmith.wiring.recorder import Call, Recorder, function_name, tensors_in
from wiring.networks import TwoLayers


class Rolled(TwoLayers):
    def between(self, y: torch.Tensor) -> torch.Tensor:
        return torch.erfinv(y.tanh() * 0.5)


def free(rule: Callable | None, key: Any = torch.erfinv) -> list[str]:
    wiring = netsmith.trace(Rolled(), Rolled().example(), rules={key: rule} if rule else None)
    return [axis.name for axis in wiring.free_axes]


def reason(rule: Callable) -> str:
    wiring = netsmith.trace(Rolled(), Rolled().example(), rules={torch.erfinv: rule})
    return wiring.axis["a.weight:0"].frozen or ""


def passes(call: Call) -> Any:
    return call.dims(call.args[0])


def test_a_rule_by_function_and_by_name() -> None:
    assert free(None) == []
    assert free(passes) == free(passes, "erfinv") == ["a.weight:0"]


def test_a_rule_that_raises_freezes() -> None:
    def broken(call: Call) -> Any:
        raise LookupError("no idea")

    assert reason(broken).startswith("erfinv: the rule failed with LookupError: no idea, in erfinv of the model")


def test_a_rule_with_other_sizes_freezes() -> None:
    assert "the rule gave other sizes than the function" in reason(lambda call: call.dims(call.args[0])[:1])
    assert "the rule gave other sizes" in reason(lambda call: list(reversed(call.dims(call.args[0]))))


def test_a_rule_that_gives_nothing_freezes() -> None:
    assert reason(lambda call: None).startswith("erfinv: the rule gave no dimensions")


def test_what_a_rule_sees() -> None:
    seen: list[Call] = []

    def look(call: Call) -> Any:
        seen.append(call)
        return call.dims(call.args[0])

    free(look)
    (call,) = seen
    assert call.name == "erfinv" and call.arg(0).shape == (2, 32)
    assert call.arg(1, "out", "default") == "default" and call.outputs()[0] is call.out
    assert len(call.tensors()) == 1


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        (("x", 1, 2), {}, [1, 2]),
        (("x", (1, 2)), {}, [1, 2]),
        (("x",), {"shape": (3,)}, [3]),
        (("x",), {"shape": 3}, [3]),
        (("x",), {}, []),
    ],
)
def test_ints(args: tuple, kwargs: dict, expected: list) -> None:
    call = Call(Recorder(None, lambda: ""), "view", args, kwargs, None)
    assert call.ints(1, "shape") == expected


def test_in_place_calls_change_where_a_value_comes_from() -> None:
    class InPlace(TwoLayers):
        def between(self, y: torch.Tensor) -> torch.Tensor:
            y.relu_()
            return y

    calls = netsmith.trace(InPlace(), InPlace().example()).calls
    assert [call.name for call in calls] == ["linear", "relu_", "linear"]
    assert calls[2].origins[0].call == 1
    assert calls[0].origins[0].kind == "input" and calls[0].origins[1].name == "a.weight"


def test_a_cast_that_changes_nothing_is_no_new_value() -> None:
    class Cast(TwoLayers):
        def between(self, y: torch.Tensor) -> torch.Tensor:
            return y.float()

    calls = netsmith.trace(Cast(), Cast().example()).calls
    assert calls[2].origins[0].call == 0


def test_names() -> None:
    assert function_name(torch.nn.functional.conv2d) == "conv2d"
    assert function_name(torch.Tensor.add_) == "add_"
    assert function_name(torch.Tensor.shape.__get__) == "shape.get"
    assert function_name(torch.ops.aten.relu.default) == "relu"


@dataclass
class Output:
    logits: torch.Tensor
    more: tuple


def test_tensors_in() -> None:
    a, b, c = (torch.zeros(n) for n in (1, 2, 3))
    found = tensors_in({"x": [a, (b, None)], "y": Output(c, (a,))})
    assert [t.numel() for t in found] == [1, 2, 3, 1]
    assert tensors_in("text") == [] and tensors_in(None) == []


class Bypassed(torch.nn.Module):
    """Mixes its channels in a way that no function mode sees."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(6, 8), torch.nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.a(x)
        with torch._C.DisableTorchFunction():
            y = y.flip(-1)
        return self.b(y)


class Mapped(Bypassed):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.func.vmap(lambda row: self.b(self.a(row).relu()))(x)


@pytest.mark.parametrize(
    ("build", "why"), [(Bypassed, "not called through torch's Python functions"), (Mapped, "it runs under vmap")]
)
def test_what_bypasses_the_recorder_freezes_what_it_touches(build: type[torch.nn.Module], why: str) -> None:
    model, x = build().eval(), torch.randn(2, 6)
    wiring = netsmith.trace(model, x)
    assert wiring.free_axes == ()
    assert any(why in found.function and found.axes > 0 for found in wiring.unsupported)
    assert netsmith.plan_removal(wiring, keep=0.5).edits == ()
