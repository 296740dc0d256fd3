"""How a verdict reads."""

from __future__ import annotations

from netsmith.checks import Check, Verdict


def test_one_failure_is_enough() -> None:
    good, bad = Check("structure", "exact", "8 tensors"), Check("runs", "failed", "output 0 is not finite")
    assert Verdict((good,)).ok and bool(Verdict((good,)))
    assert not Verdict((good, bad)).ok and not Verdict((good, bad))
    lines = str(Verdict((good, bad))).splitlines()
    assert lines[0] == "The edited model BREAKS its promise."
    assert lines[1].split() == ["structure", "exact", "8", "tensors"]
    assert "failed" in lines[2] and "output 0 is not finite" in lines[2]


def test_up_to_statistics_is_no_failure() -> None:
    assert Verdict((Check("outputs", "exact up to statistics", ""),)).ok
