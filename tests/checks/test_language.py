"""Perplexity, of the next token or of given labels."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from netsmith.checks.language import perplexity
from netsmith.errors import InputError, ModelError


class Says(nn.Module):
    """Scores the next of 5 tokens: log of ``share`` for the right one in counting, the rest evenly."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        right = nn.functional.one_hot((input_ids + 1) % 5, 5).float()
        return (right * self.share + (1 - right) * (1 - self.share) / 4).log()


TOKENS = torch.arange(12).view(2, 6) % 5


@pytest.mark.parametrize("x", [TOKENS, {"input_ids": TOKENS}])
def test_of_the_next_token(x: object) -> None:
    found = perplexity(Says(0.5), [x])
    assert found["perplexity"] == pytest.approx(2.0) and found["loss"] == pytest.approx(math.log(2))


def test_padding_and_labels_that_do_not_count() -> None:
    wrong = TOKENS.clone()
    wrong[:, 4:] = 0
    mask = torch.ones_like(wrong)
    mask[:, 4:] = 0
    assert perplexity(Says(0.5), [{"input_ids": wrong, "attention_mask": mask}])["perplexity"] == pytest.approx(2.0)
    labels = (TOKENS + 1) % 5
    assert perplexity(Says(0.25), [(TOKENS, labels)])["perplexity"] == pytest.approx(4.0)
    labels[0] = -100
    batches = [(TOKENS, labels), (TOKENS[:1], torch.full((1, 6), -100))]
    assert perplexity(Says(0.25), batches)["perplexity"] == pytest.approx(4.0)
    assert perplexity(nn.Linear(3, 2), [(torch.zeros(4, 3), torch.zeros(4, dtype=torch.long))])["loss"] > 0


def test_what_cannot_be_measured_on() -> None:
    with pytest.raises(InputError, match="without labels, perplexity is that of the next token"):
        perplexity(nn.Linear(3, 2), [torch.zeros(4, 3)])
    with pytest.raises(InputError, match=r"not scores \(2, 6, 5\) with labels \(2,\)"):
        perplexity(Says(0.5), [(TOKENS, torch.zeros(2, dtype=torch.long))])
    with pytest.raises(InputError, match="every label is -100"):
        perplexity(Says(0.5), [(TOKENS, torch.full((2, 6), -100))])
    with pytest.raises(ModelError, match="NaN or infinite"):
        perplexity(Says(1.0), [TOKENS])
