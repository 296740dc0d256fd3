"""Readable names of axes."""

from __future__ import annotations

from netsmith.reports.short_names import short_names


def test_the_tensor_and_dimension_are_dropped() -> None:
    assert short_names(["layer1.0.conv1.weight:0", "pos_embed:2", "attn.qkv.weight:0.1"]) == {
        "layer1.0.conv1.weight:0": "layer1.0.conv1",
        "pos_embed:2": "pos_embed:2",
        "attn.qkv.weight:0.1": "attn.qkv.weight:0.1",
    }


def test_names_stay_whole_where_they_would_collide() -> None:
    names = ["conv.weight:0", "conv.bias:0"]

    assert short_names(names) == {name: name for name in names}
