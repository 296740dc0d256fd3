"""The whole job: merge similar blocks, refit, merge exactly, verify, measure."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netsmith
from block_networks import images, stacked
from netsmith.errors import InputError
from netsmith.recipes import merge

DATA = [torch.randn(48, 3, 5, 5, generator=torch.Generator().manual_seed(i)) for i in range(5)]


def test_exact_merges_need_no_data() -> None:
    model = stacked()
    result = merge(model, images(2))
    assert [step.name for step in result.steps] == ["original", "fuse"]
    assert [edit.layers for edit in result.plan.fusions] == [
        *((f"blocks.{i}.conv1", f"blocks.{i}.norm") for i in range(4)),
        ("alone.conv1", "alone.norm"),
    ]
    assert result.verdict.ok
    torch.testing.assert_close(result.model(images(2)), model(images(2)), rtol=1e-5, atol=1e-5)


def test_similar_blocks_and_then_exactly() -> None:
    model = stacked()
    stages: list[str] = []
    result = merge(
        model, images(2), pairs=1, data=DATA, progress=lambda what, done, total: stages.append(what), evaluate=None
    )
    assert list(dict.fromkeys(stages)) == ["trace", "plan", "rejoin", "recalibrate", "fuse", "verify", "measure"]
    assert [step.name for step in result.steps] == ["original", "merge", "rejoin", "fuse"]
    assert result.verdict.ok and len(result.plan.steps) == 2
    assert not any(isinstance(module, nn.BatchNorm2d) for module in result.model.modules())
    assert netsmith.verify(model, result.model, result.plan, images(2))
    kept = merge(model, images(2), pairs=1, data=DATA, exact=False)
    assert any(isinstance(module, nn.BatchNorm2d) for module in kept.model.modules())


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match=r"model is a str; give a torch\.nn\.Module"):
        merge("resnet", images(2))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="data is an iterator"):
        merge(stacked(), images(2), pairs=1, data=iter(DATA))
    with pytest.raises(InputError, match="nothing to do: give pairs"):
        merge(stacked(), images(2), exact=False)
