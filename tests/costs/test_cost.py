"""Costs as numbers."""

from __future__ import annotations

from netsmith.costs import Cost


def test_it_travels_as_a_dictionary_and_reads_well() -> None:
    cost = Cost(params=1234, macs=5_000_000, bytes=4936, latency_ms=1.2345)
    assert Cost(**cost.as_dict()) == cost
    assert str(cost) == "1,234 params, 5,000,000 MACs, 4,936 bytes, 1.23 ms"
    assert str(Cost(1, 2, 3, peak_bytes=4567)) == "1 params, 2 MACs, 3 bytes (4,567 at the peak)"
    assert str(Cost(1, 2, 3)) == "1 params, 2 MACs, 3 bytes"
