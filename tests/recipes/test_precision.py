"""``quantize`` and ``sparsify`` in one call."""

from __future__ import annotations

import pytest
import torch

import netsmith
from netsmith.errors import EvidenceError, InputError
from netsmith.plans import precision
from netsmith.recipes import quantize, sparsify
from netsmith.surgery.zeros import count_zeros
from netsmith.training import Training, train
from small_networks import network


def test_quantize(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchao")
    monkeypatch.setattr(precision, "_SMALLEST", 1)
    model, x = network("mlp")
    told = []
    result = quantize(
        model,
        x,
        scheme="int4",
        data=[torch.randn(64, 6)],
        evaluate=lambda m: 1.0,
        progress=lambda *a: told.append(a[0]),
    )
    assert [step.name for step in result.steps] == ["original", "quantize", "round"]
    assert result.verdict.ok and result.steps[-1].cost.bytes < 0.5 * result.steps[0].cost.bytes
    assert result.steps[-1].cost.macs == result.steps[0].cost.macs
    assert list(dict.fromkeys(told)) == ["trace", "plan", "round", "verify", "measure"]
    plain = quantize(model, x, scheme="int8")
    assert [step.name for step in plain.steps] == ["original", "quantize"] and plain.verdict.ok


def test_quantize_and_heal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchao")
    monkeypatch.setattr(precision, "_SMALLEST", 1)
    model, x = network("mlp")
    data = [torch.randn(64, 6) for _ in range(4)]
    with torch.no_grad():
        wanted = [model(each) for each in data]

    def near(each: torch.nn.Module) -> float:
        return -sum(float((each(d) - w).square().mean()) for d, w in zip(data, wanted, strict=True))

    def heal(small: torch.nn.Module, original: torch.nn.Module) -> torch.nn.Module:
        return train(small, data, lambda m, x, y: (m(x) - original(x).detach()).square().mean(), how)

    how = Training(epochs=30, lr=0.05)
    result = quantize(model, x, scheme="int4", data=data, evaluate=near, heal=heal)
    assert [step.name for step in result.steps] == ["original", "quantize", "round", "heal"] and result.verdict.ok
    _, nearest, rounded, healed = (step.scores["score"] for step in result.steps)
    assert healed > rounded > nearest and result.steps[-1].cost.bytes == result.steps[1].cost.bytes
    one = quantize(model, x, scheme="int4", data=data, heal=1)
    assert one.verdict.ok and one.steps[-1].name == "heal"
    with pytest.raises(EvidenceError, match="heal=1 distils on data, and none was given"):
        quantize(model, x, scheme="int4", heal=1)


def test_sparsify_and_remove_what_is_dead() -> None:
    model, x = network("mlp")
    data = [torch.randn(64, 6)]
    result = sparsify(model, x, share=0.9)
    assert [step.name for step in result.steps] == ["original", "sparsify", "remove dead"]
    assert result.verdict.ok and result.steps[-1].cost.params < result.steps[0].cost.params
    repaired = sparsify(model, x, share=0.5, scope="layer", data=data)
    kept = sparsify(model, x, share=0.5, scope="layer", data=data, repair=False)
    assert repaired.verdict.ok and kept.verdict.ok and repaired.plan.refitted and not kept.plan.refitted
    chosen = sparsify(model, x, pattern="1:2", criterion="sparsegpt", data=data, remove_dead=False)
    assert chosen.verdict.ok and count_zeros(chosen.model) == (143, 286)
    assert netsmith.measure(model, x).params == result.steps[0].cost.params


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"share": 0.5, "criterion": "sparsegpt"}, EvidenceError, "give data"),
        ({"threshold": 0.5, "criterion": "sparsegpt", "data": [1]}, InputError, "takes a share or a pattern"),
        (
            {"share": 0.5, "criterion": "sparsegpt", "data": [1], "repair": False},
            InputError,
            "chooses while it repairs",
        ),
        ({"share": 0.5, "data": iter([1])}, InputError, "gone through once"),
    ],
)
def test_bad_input(options, error, message: str) -> None:
    model, x = network("mlp")
    with pytest.raises(error, match=message):
        sparsify(model, x, **options)
