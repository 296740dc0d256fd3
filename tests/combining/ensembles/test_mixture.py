"""A gate learns which member to trust where."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from netsmith.combining.ensembles import evaluate, mixture, parallel
from netsmith.errors import InputError


class Half(nn.Module):
    """Right about examples on one side of zero, and sure of nonsense on the other."""

    def __init__(self, sign: float) -> None:
        super().__init__()
        self.sign = nn.Parameter(torch.tensor(sign))

    def forward(self, x: Tensor) -> Tensor:
        right = (x[:, 1] > 0).long()
        knows = self.sign * x[:, 0] > 0
        answer = torch.where(knows, right, 1 - right)
        return 4 * nn.functional.one_hot(answer, 2).float()


def examples() -> list[tuple[Tensor, Tensor]]:
    x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    return [(part, (part[:, 1] > 0).long()) for part in x.split(50)]


def test_a_gate_on_the_input_knows_the_sides() -> None:
    members = {"left": Half(-1.0), "right": Half(1.0)}
    made = mixture(members, examples(), gate=nn.Linear(2, 2), epochs=20, lr=0.1)
    x = examples()[0][0]
    assert evaluate(parallel(members), examples(), x).log_loss > 0.5  # the members contradict each other
    assert evaluate(made, examples(), x).accuracy > 0.95
    assert made.members[0].sign.item() == -1.0  # members stay as they are
    exported = torch.export.export(made, (x,)).module()
    assert torch.allclose(exported(x), made(x), atol=1e-5)


def test_a_linear_gate_that_can_tell_nothing_weighs_all_the_same() -> None:
    members = {"left": Half(-1.0), "right": Half(1.0)}
    made = mixture(members, examples())
    x = examples()[0][0]
    assert torch.allclose(made(x), parallel(members)(x), atol=1e-5)
    assert made.reads == "scores"


def test_a_linear_gate_trusts_who_is_sure_where_that_is_right() -> None:
    class Sure(Half):
        """Sure only where it knows."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * torch.where(self.sign * x[:, 0] > 0, 1.0, 0.1)[:, None]

    members = {"left": Sure(-1.0), "right": Sure(1.0)}
    x = examples()[0][0]
    better = evaluate(mixture(members, examples()), examples(), x)
    assert better.log_loss < 0.9 * evaluate(parallel(members), examples(), x).log_loss


def test_too_few_folds() -> None:
    with pytest.raises(InputError, match="mixture needs folds ≥ 2, not 1"):
        mixture({"left": Half(-1.0), "right": Half(1.0)}, examples(), folds=1)


def test_a_gate_of_another_size() -> None:
    with pytest.raises(InputError, match=r"the gate returns \(50, 3\); it must return \(50, 2\), one a member"):
        mixture({"left": Half(-1.0), "right": Half(1.0)}, examples(), gate=nn.Linear(2, 3))
