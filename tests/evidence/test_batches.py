"""Calibration data in all its forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from netsmith.errors import EvidenceError, InputError
from netsmith.evidence import calibration_batches, device_of, examples_in, inputs_of

x, y = torch.randn(4, 3), torch.zeros(4, dtype=torch.long)


def test_labels_are_put_aside() -> None:
    assert inputs_of(x) is x
    assert inputs_of((x, y)) is x
    assert inputs_of([x, y]) is x
    assert inputs_of((x,)) is x
    named = {"values": x, "mask": y}
    assert inputs_of(named) is named
    assert inputs_of((named, y)) is named
    three = (x, y, x)
    assert inputs_of(three) is three  # positional arguments of a model that takes three


def test_examples_in_a_batch() -> None:
    assert examples_in(x) == 4
    assert examples_in({"values": x}) == 4
    assert examples_in(torch.tensor(1.0)) == 1


def test_batches_up_to_a_number_of_examples() -> None:
    given = [(torch.full((4, 3), float(i)), y) for i in range(5)]
    assert [float(b[0, 0]) for b in calibration_batches(given, most_examples=8)] == [0, 1]
    sizes = [len(b) for b in calibration_batches(given, most_examples=10)]
    assert sizes == [4, 4, 2]
    assert len(calibration_batches([torch.ones(1000, 3)], most_examples=64)[0]) == 64


def test_of_a_batch_that_is_cut_only_tensors_of_that_many_examples_are() -> None:
    batch = {
        "values": torch.ones(8, 3),
        "mask": torch.ones(8),
        "positions": torch.arange(5),
        "scale": torch.tensor(2.0),
    }
    (cut,) = calibration_batches([batch], most_examples=6)
    assert {name: tuple(t.shape) for name, t in cut.items()} == {
        "values": (6, 3),
        "mask": (6,),
        "positions": (5,),
        "scale": (),
    }


def test_loaders_and_iterators() -> None:
    loader = DataLoader(TensorDataset(x, y), batch_size=2)
    assert [b.shape for b in calibration_batches(loader, most_examples=100)] == [(2, 3), (2, 3)]
    assert len(calibration_batches(iter([x, x]), most_examples=100)) == 2
    assert len(calibration_batches((x for _ in range(3)), most_examples=100)) == 3


def test_an_endless_stream_is_read_only_as_far_as_needed() -> None:
    read = []

    def endless():
        while True:
            read.append(1)
            yield x

    assert len(calibration_batches(endless(), most_examples=8)) == 2
    assert len(read) == 2


def test_empty_batches_are_passed_over() -> None:
    assert len(calibration_batches([torch.ones(0, 3), x], most_examples=8)) == 1


def test_data_of_the_wrong_kind() -> None:
    for data, kind in (
        (x, "Tensor"),
        (5, "int"),
        ({"a": x}, "dict"),
        ("digits", "str"),
        (TensorDataset(x), "TensorDataset"),
    ):
        with pytest.raises(InputError, match=f"data is a {kind}; give an iterable of batches, each x or"):
            calibration_batches(data, most_examples=8)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"batch 1 of data holds no tensor; each batch is x or \(x, y\)"):
        calibration_batches([x, "images"], most_examples=8)


@pytest.mark.parametrize("data", [[], iter([]), [torch.ones(0, 3)]])
def test_no_data(data: object) -> None:
    with pytest.raises(EvidenceError, match="data is empty: it gave no batch"):
        calibration_batches(data, most_examples=8)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_values_that_are_not_finite(bad: float) -> None:
    spoilt = x.clone()
    spoilt[2, 1] = bad
    with pytest.raises(EvidenceError, match="batch 1 of data holds NaN or infinity; clean the data"):
        calibration_batches([x, spoilt], most_examples=100)
    assert len(calibration_batches([x, (x, torch.tensor([bad]))], most_examples=100)) == 2  # labels are not looked at


def test_the_models_device() -> None:
    assert device_of(nn.Linear(1, 1)) == torch.device("cpu")
    assert device_of(nn.ReLU()) is None
