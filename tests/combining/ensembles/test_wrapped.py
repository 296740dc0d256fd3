"""Models that torch knows nothing of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ensemble_members import batches, data, trained
from netsmith.combining.ensembles import Wrapped, evaluate, parallel
from netsmith.errors import InputError


def test_a_function_of_arrays_is_a_member() -> None:
    def always_three(x: np.ndarray) -> np.ndarray:
        assert x.shape[1:] == (64,)
        return np.eye(10)[[3] * len(x)]

    wrapped = Wrapped(always_three)
    x = data().test.images
    assert wrapped(x).argmax(1).unique().tolist() == [3]
    ensemble = parallel([trained()["conv"], wrapped], weights=[1, 0])
    assert torch.allclose(ensemble(x), trained()["conv"](x).log_softmax(1), atol=1e-5)
    assert evaluate(ensemble, batches("test"), x[:2]).worst_macs == 4 * 9 * 64 + 256 * 10


def test_bad_input() -> None:
    with pytest.raises(InputError, match="Wrapped needs a function"):
        Wrapped(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"returns \(3,\) for 4 examples, not \(N, C\)"):
        Wrapped(lambda x: np.zeros(3))(torch.zeros(4, 2))
