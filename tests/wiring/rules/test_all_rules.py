"""Every entry of the table is exercised somewhere in this folder, or stands here with a reason."""

from __future__ import annotations

from netsmith.wiring.rules import DEFAULT_RULES
from wiring.rules import (
    test_contraction,
    test_creation,
    test_gathering,
    test_indexing,
    test_joining,
    test_layout,
    test_norms,
    test_pointwise,
    test_recurrent,
    test_reduction,
    test_spatial,
    test_transforms,
)

# Torch itself spells these calls otherwise ("a + b" arrives as add, x.softmin() as softmax of neg): the entries wait
# for releases and overloads that do not. Each shares its function with an exercised entry.
SPELLED_OTHERWISE = set(
    """
    __add__ __radd__ __sub__ __mul__ __rmul__ __truediv__ __rtruediv__ __div__ __pow__ __mod__ __neg__ __ne__ __lt__
    __le__ __gt__ __ge__ __iadd__ __isub__ __imul__ __itruediv__ __idiv__ __matmul__ __rmatmul__ __iter__
    logsigmoid tanhshrink softsign vector_norm local_response_norm interpolate _cdist_forward fold
    grid_sampler_2d grid_sampler_3d
    adaptive_max_pool1d_with_indices adaptive_max_pool2d_with_indices adaptive_max_pool3d_with_indices
    max_pool1d_with_indices lp_pool1d lp_pool2d lp_pool3d fractional_max_pool1d fractional_max_pool2d
    fractional_max_pool3d
    """.split()
)
# They give no floats that a plan could spoil (positions, counts, one bool), or need another device or dtype.
NOT_COMPARED = set(
    """
    cuda pin_memory nms unique bincount one_hot nonzero from_numpy allclose equal multinomial _grouped_mm grouped_mm
    """.split()
)


def test_every_rule_is_exercised() -> None:
    homes = (
        test_contraction,
        test_creation,
        test_gathering,
        test_indexing,
        test_joining,
        test_layout,
        test_norms,
        test_recurrent,
        test_reduction,
        test_spatial,
        test_transforms,
    )
    exercised = {case.name for home in homes for case in home.CASES}
    for cases in (test_pointwise.UNARY_CASES, test_pointwise.BINARY_CASES, test_pointwise.OTHER_CASES):
        exercised |= {case.name for case in cases}
    assert set(DEFAULT_RULES) - exercised - SPELLED_OTHERWISE - NOT_COMPARED == set()
    assert exercised - set(DEFAULT_RULES) == set(), "cases whose names are not in the table"
    assert (SPELLED_OTHERWISE | NOT_COMPARED) & exercised == set(), "listed as unreached, but exercised"
    assert (SPELLED_OTHERWISE | NOT_COMPARED) - set(DEFAULT_RULES) == set(), "listed, but not in the table"
