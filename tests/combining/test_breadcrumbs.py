"""Model breadcrumbs."""

from __future__ import annotations

import pytest
import torch

from mergekit_values import BASE, MODELS, VALUES, WEIGHTS
from netsmith.combining import breadcrumbs
from netsmith.errors import InputError


def test_equals_mergekit() -> None:
    out = breadcrumbs(BASE, MODELS, WEIGHTS, density=0.4, gamma=0.1)
    assert torch.allclose(out, VALUES["breadcrumbs"], atol=1e-6)
    out = breadcrumbs(BASE, MODELS, WEIGHTS, density=0.4, gamma=0.1, elect=True)
    assert torch.allclose(out, VALUES["breadcrumbs_ties"], atol=1e-6)


def test_outliers_go_first_and_fewer_where_else_too_few_stayed() -> None:
    model = torch.tensor([5.0, 1.0, 2.0, 3.0, 4.0])
    assert breadcrumbs(torch.zeros(5), [model], density=0.6, gamma=0.2).tolist() == [0, 0, 2, 3, 4]
    assert breadcrumbs(torch.zeros(5), [model], density=0.8, gamma=0.4).tolist() == [0, 1, 2, 3, 4]


def test_gamma_out_of_range() -> None:
    with pytest.raises(InputError, match="gamma"):
        breadcrumbs(BASE, MODELS, gamma=-0.1)
