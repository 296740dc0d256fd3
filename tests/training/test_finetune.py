"""Fine-tuning."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from netsmith.errors import InputError
from netsmith.training.finetune import finetune


def blobs(seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(60) % 3
    x = 3 * nn.functional.one_hot(labels, 3).float() + torch.randn(60, 3, generator=generator)
    return list(zip(x.split(20), labels.split(20), strict=True))


def accuracy(model: nn.Module, data) -> float:
    with torch.no_grad():
        return sum(int((model(x).argmax(1) == y).sum()) for x, y in data) / 60


def test_it_learns_from_labels() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    mean = model[1].running_mean.clone()
    tuned = finetune(model, blobs(), epochs=10, lr=0.1)
    assert accuracy(tuned, blobs(1)) > 0.9
    assert torch.equal(model[1].running_mean, mean)


def test_another_loss() -> None:
    data = [(torch.eye(2), torch.tensor([[1.0], [5.0]]))]
    tuned = finetune(nn.Linear(2, 1), data, epochs=200, lr=0.2, loss=mse_loss, weight_decay=0, clip=None)
    assert tuned(torch.eye(2)).flatten().tolist() == pytest.approx([1, 5], abs=0.05)


def test_outputs_with_logits() -> None:
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x):
            return SimpleNamespace(logits=self.fc(x))

    tuned = finetune(Wrapped(), blobs(), epochs=10, lr=0.1)
    assert accuracy(tuned.fc, blobs(1)) > 0.9


def test_labels_that_are_missing_or_do_not_fit() -> None:
    model = nn.Linear(3, 2)
    with pytest.raises(InputError, match=r"fine-tuning needs labels.*or use distil"):
        finetune(model, [torch.randn(4, 3)], epochs=1)
    with pytest.raises(InputError, match=r"outputs \(4, 2\) with labels tensor \(4,\) torch.int64, from 0 to 7"):
        finetune(model, [(torch.randn(4, 3), torch.tensor([0, 1, 7, 1]))], epochs=1)
    with pytest.raises(InputError, match=r"Linear cannot be run on tensor \(4, 5\)"):
        finetune(model, [(torch.randn(4, 5), torch.zeros(4, dtype=torch.long))], epochs=1)
