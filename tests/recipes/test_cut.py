"""The whole job: cut, rejoin, verify, measure."""

from __future__ import annotations

import pytest
import torch

import netsmith
from block_networks import images, stacked
from netsmith.errors import InputError, ModelError
from netsmith.evidence import divergence, influence
from netsmith.recipes import cut

DATA = [torch.randn(64, 3, 5, 5, generator=torch.Generator().manual_seed(i)) for i in range(5)]


def test_the_whole_job() -> None:
    model = stacked()
    stages: list[str] = []
    fresh = torch.randn(64, 3, 5, 5, generator=torch.Generator().manual_seed(9))

    def nearness(candidate: torch.nn.Module) -> float:
        return -float(divergence(model(fresh), candidate(fresh)))

    result = cut(
        model, images(2), blocks=2, data=DATA, evaluate=nearness, progress=lambda what, done, total: stages.append(what)
    )
    assert list(dict.fromkeys(stages)) == ["trace", "plan", "rejoin", "recalibrate", "verify", "measure"]
    assert [step.name for step in result.steps] == ["original", "cut", "rejoin"]
    original, plain, rejoined = result.steps
    assert rejoined.cost.macs < original.cost.macs and rejoined.cost.params < original.cost.params
    assert plain.scores["score"] < rejoined.scores["score"] <= 0
    assert result.verdict.ok and len(result.plan.block_edits) == 2
    wanted = influence(netsmith.trace(model, images(2)), DATA, most_examples=256)
    for name in ("blocks.0", "blocks.3", "alone"):  # of the first round, with nothing gone
        assert result.influence[name] == pytest.approx(wanted[name], rel=1e-4)
    assert netsmith.verify(model, result.model, result.plan, images(2))


def test_nothing_below_the_threshold() -> None:
    result = cut(stacked(), images(2), threshold=1e-12, data=DATA)
    assert [step.name for step in result.steps] == ["original", "cut"] and result.plan.edits == ()
    assert result.verdict.ok


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match=r"model is a str; give a torch\.nn\.Module"):
        cut("resnet", images(2), blocks=1, data=DATA)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="data is an iterator"):
        cut(stacked(), images(2), blocks=1, data=iter(DATA))
    model = stacked()
    with torch.no_grad():
        model.fc.weight[0] = float("nan")
    with pytest.raises(ModelError, match=r"weights are not finite \(NaN or infinity\): fc\.weight"):
        cut(model, images(2), blocks=1, data=DATA)
