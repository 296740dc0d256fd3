"""scikit-learn's boosted trees as a module: the same scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

from ensemble_members import data
from netsmith.combining.ensembles import tree_ensemble
from netsmith.errors import InputError


def grown(classes: int = 10, **options) -> GradientBoostingClassifier:
    labels = data().train.labels % classes
    return GradientBoostingClassifier(n_estimators=3, max_depth=3, random_state=0, **options).fit(
        data().train.images.flatten(1).numpy(), labels.numpy()
    )


@pytest.mark.parametrize("options", [{}, {"init": "zero"}, {"subsample": 0.5, "max_features": 8}])
def test_the_same_scores(options) -> None:
    fitted, x = grown(**options), data().test.images
    module = tree_ensemble(fitted)
    expected = fitted.decision_function(x.flatten(1).numpy())
    assert np.allclose(module(x).numpy(), expected, atol=1e-6)
    assert np.array_equal(module(x).argmax(1).numpy(), fitted.predict(x.flatten(1).numpy()))


def test_two_classes() -> None:
    fitted, x = grown(classes=2), data().test.images
    probabilities = tree_ensemble(fitted)(x).softmax(1)
    assert np.allclose(probabilities.numpy(), fitted.predict_proba(x.flatten(1).numpy()), atol=1e-6)


def test_it_is_exported() -> None:
    module, x = tree_ensemble(grown()), data().test.images
    exported = torch.export.export(
        module, (x[:3],), dynamic_shapes=({0: torch.export.Dim("examples", min=1)},)
    ).module()
    assert torch.equal(exported(x), module(x))


def test_what_is_not_read() -> None:
    with pytest.raises(
        InputError, match="reads a fitted sklearn.ensemble.GradientBoostingClassifier, not RandomForest"
    ):
        tree_ensemble(RandomForestClassifier())
    with pytest.raises(InputError, match="reads a fitted"):
        tree_ensemble(GradientBoostingClassifier())
    other = GradientBoostingClassifier(n_estimators=1).fit([[0.0], [1.0]], [3, 7])
    with pytest.raises(InputError, match="needs labels 0..C-1"):
        tree_ensemble(other)
