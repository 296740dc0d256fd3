"""scikit-learn's digits, split."""

from __future__ import annotations

import torch

from netsmith.data import digits


def test_splits_are_disjoint_cover_everything_and_hold_every_class_alike() -> None:
    splits = digits()
    parts = (splits.train, splits.validation, splits.test)
    assert [len(p) for p in parts] == [1149, 288, 360]
    rows = torch.cat([p.images.flatten(1) for p in parts])
    assert len(torch.unique(rows, dim=0)) == 1797
    for part in parts:
        share = torch.bincount(part.labels, minlength=10) / len(part)
        assert (share - 0.1).abs().max() < 0.01


def test_images_are_standardised_by_the_training_part() -> None:
    train = digits().train
    assert train.images.shape == (1149, 1, 8, 8)
    assert train.images.dtype == torch.float32
    assert train.labels.dtype == torch.int64
    assert abs(float(train.images.mean())) < 1e-5
    assert abs(float(train.images.std()) - 1) < 1e-5


def test_the_seed_decides_the_split() -> None:
    assert torch.equal(digits(3).test.images, digits(3).test.images)
    assert not torch.equal(digits(3).test.images, digits(4).test.images)


def test_an_item_is_image_and_label() -> None:
    test = digits().test
    image, label = test[5]
    assert torch.equal(image, test.images[5])
    assert int(label) == int(test.labels[5])
