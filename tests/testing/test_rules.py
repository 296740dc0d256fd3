"""``check_rule`` lets right rules pass and says of wrong ones what is wrong, and where."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from netsmith.testing import check_rule
from netsmith.wiring import spaces
from netsmith.wiring.recorder import Call
from netsmith.wiring.rules import DEFAULT_RULES

Tensor = torch.Tensor


def x(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def passes(call: Call) -> Any:
    """Every unit stays where it is."""
    return call.dims(call.args[0])


def rolled(call: Call) -> Any:
    dims = call.dims(call.args[0])
    call.freeze(dims[1], "torch.roll moves its positions")
    return dims


def reversed_ends(call: Call) -> Any:
    """Says that the halves of a dimension change places."""
    dims = call.dims(call.args[0])
    front, back = spaces.split(dims[1], [3, 3])
    return [dims[0], spaces.concat([back, front])]


def untied(call: Call) -> Any:
    """Ties the factors of a sum over one axis the wrong way round: 2 × 3 against 3 × 2."""
    a, b = call.dims(call.args[0]), call.dims(call.args[1])
    two, three = spaces.new(2), spaces.new(3)
    spaces.unify(a[1], two + three)
    spaces.unify(b[0], three + two)
    return [a[0], b[1]]


def forgets(call: Call) -> Any:
    """Gives the output dimensions of its own."""
    return [spaces.new(int(n)) for n in call.out.shape]


def half_tied(call: Call) -> Any:
    """Of two tensors that meet it ties none, and says that the output is the first."""
    return call.dims(call.args[0])


def drops(call: Call) -> Any:
    return call.dims(call.args[0])[:1]


def test_right_rules_pass() -> None:
    assert check_rule(rolled, torch.roll, x(4, 6), 1, dims=1) == 1
    assert check_rule(passes, torch.relu, x(4, 6)) == 2
    assert check_rule(DEFAULT_RULES["linear"], F.linear, x(2, 4, 6), x(8, 6), x(8)) == 4
    assert check_rule(DEFAULT_RULES["view"], Tensor.view, x(2, 12), 2, 3, 4) == 3
    assert check_rule(DEFAULT_RULES["cat"], torch.cat, [x(4, 6), x(4, 5)], dim=1) == 3


def test_what_is_frozen_or_a_statistic_is_exempt() -> None:
    assert (
        check_rule(lambda call: [call.freeze(d := call.dims(call.args[0]), "stays"), d][1], torch.flip, x(4, 6), (1,))
        == 0
    )
    assert check_rule(DEFAULT_RULES["softmax"], torch.softmax, x(4, 6), -1) == 1


def test_in_place_functions_work_on_copies() -> None:
    a, b = x(4, 6), x(6)
    before = a.clone()
    assert check_rule(DEFAULT_RULES["add"], Tensor.add_, a, b) == 2
    assert check_rule(DEFAULT_RULES["__setitem__"], Tensor.__setitem__, a, (slice(None), 0), x(4)) == 2
    assert torch.equal(a, before)


def test_whole_numbers_are_not_nudged_and_keep_their_place() -> None:
    index = torch.tensor([[0, 2], [3, 1]])
    assert check_rule(DEFAULT_RULES["embedding"], torch.embedding, x(5, 6), index) == 1


@pytest.mark.parametrize(
    ("rule", "function", "args", "message"),
    [
        (
            passes,
            torch.roll,
            (x(4, 6), 1, 1),
            r"roll: the rule does not hold at unit 0 of dimension 1 of input 0 \(4, 6\)\. Nudging it moved output 0 at "
            r"\[0, 1\], \[1, 1\], \[2, 1\] and 1 more places, .* it gives it positions \[0\] of dimension 1",
        ),
        (passes, torch.cumsum, (x(4, 6), 0), r"at unit 0 of dimension 0 of input 0 \(4, 6\).* at \[1, 0\]"),
        (
            reversed_ends,
            torch.relu,
            (x(4, 6),),
            r"at unit 0 of a part or factor \(size 3\) of dimension 1 of input 0 .*positions \[3\] of dimension 1",
        ),
        (
            untied,
            torch.mm,
            (x(4, 6), x(6, 5)),
            r"no output of the rule holds unit \d of a part or factor \(size \d\) of dimension 1 of input 0 \(4, 6\), "
            r"so it must vanish in a sum; but nudging it moves the output although that unit is zero in .* of input 1",
        ),
        (forgets, torch.relu, (x(4, 6),), r"no output of the rule holds unit 0 of dimension 0 of input 0 \(4, 6\)"),
        (half_tied, torch.mul, (x(4, 6), x(4, 6)), r"no output of the rule holds unit 0 of dimension 0 of input 1"),
        (drops, torch.relu, (x(4, 6),), r"relu: output 0 has shape \(4, 6\), the rule gave sizes \(4,\)"),
        (lambda call: None, torch.relu, (x(4, 6),), r"has 1 outputs, the rule gave dimensions of 0"),
        (lambda call: call.nothing, torch.relu, (x(4, 6),), r"relu: the rule failed with AttributeError"),
    ],
    ids=["roll", "cumsum", "halves", "factors", "forgets", "half", "drops", "none", "raises"],
)
def test_wrong_rules_are_caught(rule: Callable, function: Callable, args: tuple, message: str) -> None:
    with pytest.raises(AssertionError, match=re.compile(message, re.DOTALL)):
        check_rule(rule, function, *args)


def test_a_product_is_no_sum() -> None:
    """A unit of zeros decides a product, so removing it is not the same."""
    with pytest.raises(AssertionError, match="mark it with call.statistic or call.freeze"):
        check_rule(lambda call: call.dims(call.args[0])[:1], torch.prod, x(4, 6), 1)
    assert check_rule(lambda call: call.dims(call.args[0])[:1], torch.sum, x(4, 6), 1) == 2


def test_noise_is_the_same_in_every_run() -> None:
    assert check_rule(DEFAULT_RULES["dropout"], F.dropout, x(4, 6), 0.5, True) == 2
