"""Work packed for another process."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from netsmith.errors import InputError
from netsmith.searches.trials.parcel import pack, unpack
from trial_work import measured, small_model


class Judge:
    def __init__(self, data: Any, rate: float):
        self.data, self.rate = data, rate

    def judged(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        return {"rate": self.rate}


def test_a_copy_that_shares_memory_where_the_original_does() -> None:
    model = small_model()
    whole = torch.zeros(6)
    work = functools.partial(measured, model=model, parts=(whole, whole[2:4], model[0].weight))
    copy: Any = unpack(pack(work))
    spec = {"x": 1}
    torch.manual_seed(0)
    expected = work(spec) if "parts" not in work.keywords else measured(spec, model)
    torch.manual_seed(0)
    assert measured(spec, copy.keywords["model"]) == expected
    whole_copy, part, weight = copy.keywords["parts"]
    whole_copy += 1
    assert part.tolist() == [1, 1] and whole.sum() == 0
    assert weight is copy.keywords["model"][0].weight


@pytest.mark.parametrize(
    ("work", "named"),
    [
        (functools.partial(measured, model=(x for x in ())), r"model \(.*generator"),
        (functools.partial(measured, lambda: 0), r"argument 0 \(.*lambda"),
        (Judge((x for x in ()), 1.0).judged, r"data \(.*generator"),
        (lambda spec: {}, r"lambda"),
    ],
)
def test_the_part_that_cannot_be_copied_is_named(work: Any, named: str) -> None:
    with pytest.raises(InputError, match=rf"(?s)cannot be sent to worker processes: .*{named}.*workers=1") as caught:
        pack(work)
    assert "rate" not in str(caught.value)
