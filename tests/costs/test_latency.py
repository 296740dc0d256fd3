"""Measured time: that it is measured, in turns, and leaves no trace. How long it is, no test can say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netsmith.costs import latencies
from netsmith.errors import InputError


class Counting(nn.Module):
    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__()
        self.fc, self.drop, self.name, self.log = nn.Linear(4, 4), nn.Dropout(), name, log

    def forward(self, x):
        assert not self.training and torch.is_inference_mode_enabled()
        self.log.append(self.name)
        return self.drop(self.fc(x))


def test_one_positive_median_a_model_measured_in_turns() -> None:
    log: list[str] = []
    models = [Counting("a", log), Counting("b", log)]
    times = latencies(models, torch.ones(1, 4), rounds=3, warm_up=2)
    assert len(times) == 2 and all(t > 0 for t in times)
    assert log == [*"aabb", *"ababab"]


def test_modes_are_restored_even_when_forward_raises() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout()).train()
    model[1].eval()
    latencies([model], torch.ones(1, 4), rounds=1, warm_up=0)
    assert [m.training for m in model.modules()] == [True, True, False]
    with pytest.raises(InputError):
        latencies([model], torch.ones(1, 5))
    assert [m.training for m in model.modules()] == [True, True, False]


def test_keyword_inputs() -> None:
    class Named(nn.Linear):
        def forward(self, *, values):
            return super().forward(values)

    assert latencies([Named(3, 3)], {"values": torch.ones(1, 3)}, rounds=1)[0] > 0


def test_no_models_no_times() -> None:
    assert latencies([], torch.ones(1)) == []


def test_inputs_of_another_type_are_refused_in_words() -> None:
    wanted = r"Linear raises with the example inputs \(\(1, 3\) float64\); its parameters are float32: RuntimeError"
    with pytest.raises(InputError, match=wanted):
        latencies([nn.Linear(3, 4)], torch.randn(1, 3).double())
