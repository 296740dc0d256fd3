"""Similarity of outputs: equal to the textbook formula on all rows at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import netsmith
from netsmith.errors import InputError, UnknownNameError
from netsmith.evidence import similarity

DATA = [torch.randn(20, 6, generator=torch.Generator().manual_seed(i)) for i in range(3)]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c, self.d = nn.Linear(6, 5), nn.Linear(5, 5, bias=False), nn.Linear(5, 4), nn.ReLU()
        self.unused = nn.Linear(1, 1)
        with torch.no_grad():
            self.b.weight.copy_(torch.linalg.qr(torch.randn(5, 5))[0] * 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.d(self.b(self.a(x))))


def linear_cka(x: Tensor, y: Tensor) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    return float((x.T @ y).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm()))


def test_cka_is_that_of_all_rows_at_once_and_blind_to_rotations() -> None:
    model = Net().eval()
    found = similarity(netsmith.trace(model, DATA[0]), DATA, [("a", "b"), ("b", "d"), ("a", "c")])
    with torch.no_grad():
        a = model.a(torch.cat(DATA))
        b = model.b(a)
        wanted = {("b", "d"): linear_cka(b, b.relu()), ("a", "c"): linear_cka(a, model.c(b.relu()))}
    assert found["a", "b"] == pytest.approx(1, abs=1e-6)
    assert {pair: found[pair] for pair in wanted} == pytest.approx(wanted, abs=1e-5)
    assert found["b", "d"] < 0.99


def test_cosine_of_the_positions_that_count() -> None:
    model = Net().eval()
    data = [batch.reshape(4, 5, 6) for batch in DATA]
    counted = torch.arange(5).expand(4, 5) < 3
    found = similarity(netsmith.trace(model, data[0]), data, [("a", "b")], kind="cosine", mask=lambda x: counted)
    with torch.no_grad():
        a = model.a(torch.cat(data))[:, :3]
        wanted = float(nn.functional.cosine_similarity(a, model.b(a), dim=-1).mean())
    assert found == {("a", "b"): pytest.approx(wanted, abs=1e-5)}


def test_what_cannot_be_compared() -> None:
    wiring = netsmith.trace(Net(), DATA[0])
    with pytest.raises(InputError, match='kind=\'rsa\'; give "cka" or "cosine"'):
        similarity(wiring, DATA, [], kind="rsa")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="'z' is no module of this model"):
        similarity(wiring, DATA, [("a", "z")])
    with pytest.raises(UnknownNameError, match="forward does not call 'unused'"):
        similarity(wiring, DATA, [("a", "unused")])
    with pytest.raises(InputError, match=r"'a' gives \(20, 5\) and 'c' \(20, 4\): they cannot be compared"):
        similarity(wiring, DATA, [("a", "c")], kind="cosine")
