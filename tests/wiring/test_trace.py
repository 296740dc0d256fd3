"""trace: what it says about a model, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import netsmith
from netsmith.errors import CaptureError, InputError, UnknownOpError
from netsmith.wiring.recorder import Call
from wiring.networks import CutAndReordered, Encoder, Flipped, HardCoded, Lambda, Residual, TiedWeights, TwoLayers

X = TwoLayers().example()


class Unknown(TwoLayers):
    def between(self, y: torch.Tensor) -> torch.Tensor:
        return torch.erfinv(torch.erfinv(y.tanh() * 0.5) * 0.1)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("no model", X), {}, InputError, "model is a str; give a torch.nn.Module"),
        ((TwoLayers, X), {}, InputError, "model is a type; give"),
        ((TwoLayers(), [1, 2]), {}, InputError, "example_inputs is a list; give a tensor"),
        ((TwoLayers(), None), {}, InputError, "example_inputs is a NoneType"),
        ((TwoLayers(), ()), {}, InputError, "example_inputs hold no tensor"),
        ((TwoLayers(), {"y": X}), {}, CaptureError, "unexpected keyword argument 'y'"),
        ((TwoLayers(), (X, X)), {}, CaptureError, r"\(2, 16\) float32, \(2, 16\) float32"),
        ((TwoLayers(), X), {"unknown": "ignore"}, InputError, 'unknown=\'ignore\'; give "freeze" or "raise"'),
        ((TwoLayers(), X), {"rules": {torch.roll: "same"}}, InputError, "rule for .*roll.* is not callable"),
    ],
)
def test_bad_input(arguments: tuple, options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        netsmith.trace(*arguments, **options)


def test_unknown_functions_are_listed() -> None:
    with pytest.raises(UnknownOpError) as caught:
        netsmith.trace(Unknown(), X, unknown="raise")
    text = str(caught.value)
    assert text.startswith("1 functions have no wiring rule")
    assert "erfinv: no wiring rule" in text and "2 calls" in text and "(test_trace.py:" in text
    assert 'unknown="freeze"' in text and "has not been changed" in text
    netsmith.trace(TwoLayers(), X, unknown="raise")


def test_unknown_functions_freeze() -> None:
    wiring = netsmith.trace(Unknown(), X)
    assert wiring.free_axes == () and wiring.unsupported[0].calls == 2
    assert wiring.unsupported[0].axes == sum("erfinv" in str(axis.frozen) for axis in wiring.axes) > 0
    assert "no rule: erfinv: no wiring rule, 2 calls, 2 axes frozen, first erfinv of the model (test_trace.py:" in str(
        wiring
    )


def pairs_from_the_ends(call: Call) -> Any:
    """A rule of the user's own for flip: refuse less than the shipped one (here: free, so that it shows)."""
    return call.dims(call.args[0])


def test_rules_by_function_and_by_name() -> None:
    assert netsmith.trace(Flipped(), X).free_axes == ()
    for key in (torch.flip, torch.Tensor.flip, "flip"):
        wiring = netsmith.trace(Flipped(), X, rules={key: pairs_from_the_ends})
        expected = ["a.weight:0"] if key is not torch.flip else []  # another function object than Tensor.flip
        assert [axis.name for axis in wiring.free_axes] == expected


def test_a_size_written_in_the_code_freezes_with_its_line() -> None:
    wiring = netsmith.trace(HardCoded(), HardCoded().example())
    reasons = {axis.frozen for axis in wiring.axes if axis.name.startswith("a.weight:0")}
    assert len(reasons) == 1
    (reason,) = reasons
    assert reason is not None
    assert reason.startswith("view to a size written in the code, in view of the model (networks.py:")
    cut = netsmith.trace(CutAndReordered(), X)
    assert any("split at a size written in the code" in (axis.frozen or "") for axis in cut.axes)


def test_names_roles_and_positions() -> None:
    wiring = netsmith.trace(Residual(), Residual().example())
    free = {axis.name: axis for axis in wiring.free_axes}
    assert set(free) == {"stem.weight:0", "inner.weight:0"}
    inner = {(m.tensor, m.dim): m for m in free["inner.weight:0"].members}
    assert {key: m.role for key, m in inner.items()} == {
        ("inner.weight", 0): "producer",
        ("inner.bias", 0): "producer",
        ("n2.weight", 0): "pointwise",
        ("n2.bias", 0): "pointwise",
        ("n2.running_mean", 0): "pointwise",
        ("n2.running_var", 0): "pointwise",
        ("outer.weight", 1): "consumer",
    }
    assert not inner["n2.running_mean", 0].trainable and inner["n2.weight", 0].trainable
    assert inner["outer.weight", 1].positions == [[i] for i in range(24)]
    residual = {(m.tensor, m.dim) for m in free["stem.weight:0"].members}
    assert {("outer.weight", 0), ("inner.weight", 1), ("head.weight", 1)} <= residual


def test_factors_have_numbers() -> None:
    wiring = netsmith.trace(Encoder(), Encoder().example())
    packed = "e.layers.0.self_attn.in_proj_weight:0"
    assert {axis.name for axis in wiring.axes if axis.name.startswith(packed)} == {f"{packed}.{i}" for i in range(3)}
    sizes = [wiring.sizes[f"{packed}.{i}"] for i in range(3)]
    assert sizes == [3, 4, 8]
    assert wiring.axis[f"{packed}.0"].frozen and wiring.axis[f"{packed}.2"].frozen is None
    assert wiring.layouts["e.layers.0.self_attn.in_proj_weight"][0] == tuple(f"{packed}.{i}" for i in range(3))


def test_statistics_are_marked() -> None:
    wiring = netsmith.trace(Encoder(), Encoder().example())
    assert any("layer_norm in e.layers.0.norm1" in s for s in wiring.axis["i.weight:0"].statistics)
    assert netsmith.trace(TwoLayers(), X).axis["a.weight:0"].statistics == ()


def test_inputs_and_outputs_are_frozen() -> None:
    wiring = netsmith.trace(TwoLayers(), X)
    assert wiring.axis["a.weight:1"].frozen == "a dimension of the model's input, in linear of a (networks.py:39)" or (
        wiring.axis["a.weight:1"].frozen or ""
    ).startswith("a dimension of the model's input")
    assert wiring.axis["b.weight:0"].frozen == "a dimension of the model's output"


def test_tied_weights_are_one_tensor() -> None:
    wiring = netsmith.trace(TiedWeights(), X)
    assert len(set(wiring.layouts) & {"w", "e.weight"}) == 1
    assert set(wiring.aliases.items()) & {("w", "e.weight"), ("e.weight", "w")}
    (axis,) = wiring.free_axes
    assert axis.size == 32


def test_what_forward_does_not_read_stays() -> None:
    class Spare(TwoLayers):
        def __init__(self) -> None:
            super().__init__()
            self.spare = nn.Linear(16, 32)

    wiring = netsmith.trace(Spare(), X)
    assert {a.frozen for a in wiring.axes if a.name.startswith("spare")} == {"not read by this forward"}
    assert [a.name for a in wiring.free_axes] == ["a.weight:0"]
    assert netsmith.trace(Lambda(), X).free_axes == ()  # its closure reads the original's layer, not the copy's


def test_maxima_free_their_axis_until_positions_are_read() -> None:
    class Maximum(TwoLayers):
        positions = False

        def forward(self, x: torch.Tensor) -> Any:
            y = self.a(x)
            value, where = y.max(1)
            return self.b(y) * value[:, None] + (where[:, None] if self.positions else 0)

    assert [a.name for a in netsmith.trace(Maximum(), X).free_axes] == ["a.weight:0"]
    Maximum.positions = True
    wiring = netsmith.trace(Maximum(), X)
    assert wiring.axis["a.weight:0"].frozen == "its units are named by position"


def test_blocks() -> None:
    wiring = netsmith.trace(Encoder(), Encoder().example())
    blocks = {block.name: block for block in wiring.blocks}
    assert {"e.layers.0", "e.layers.1"} <= set(blocks)
    first = blocks["e.layers.0"]
    assert first.kind == "TransformerEncoderLayer" and first.first_call < first.last_call
    assert first.params == sum(p.numel() for p in Encoder().e.layers[0].parameters())
    assert "i" not in blocks and "b" not in blocks


def test_a_wiring_reads_well() -> None:
    lines = str(netsmith.trace(Residual(), Residual().example())).splitlines()
    assert lines[0].startswith("Wiring of Residual: ") and "2 may change (" in lines[0]
    assert any(line.split()[:2] == ["inner.weight:0", "24"] for line in lines)
    assert any("axes stay as they are: a dimension of the model's output" in line for line in lines)


def test_three_forms_of_inputs_read_the_same() -> None:
    model = TwoLayers()
    readings = {str(netsmith.trace(model, given)) for given in (X, (X,), {"x": X})}
    assert len(readings) == 1
