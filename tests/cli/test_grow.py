"""``netsmith grow`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from netsmith.cli import app


def test_grow_and_verify(file: str) -> None:
    args = [
        "grow",
        f"{file}:model",
        "--widen",
        "*=1.5",
        "--deepen",
        "2",
        "--where",
        "influence",
        "--data",
        f"{file}:batches",
    ]
    done = CliRunner().invoke(app, [*args, "--eval", f"{file}:batches", "--out", "large", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["widened"][0] == {"axis": "stem.weight:0", "before": 6, "after": 9} and len(told["inserted"]) == 2
    assert told["verdict"]["ok"] and told["left"] == {}
    original, grown = told["steps"]
    assert grown["macs"] > original["macs"] and grown["accuracy"] == original["accuracy"]
    done = CliRunner().invoke(app, ["verify", "large", "--model", f"{file}:model"])
    assert done.exit_code == 0, done.output


def test_it_prints_what_is_new(file: str) -> None:
    args = ["grow", f"{file}:model", "--widen", "stem=9", "--deepen", "1", "--where", "blocks.0", "--out", "large"]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.output
    assert "stem.weight:0  6 -> 9" in done.stdout and "blocks.0  a copy of it behind it" in done.stdout
    assert "netsmith verify large" in done.stdout and "float64" in done.stdout
    card = Path("large/card.md").read_text()
    assert "`stem.weight:0` | 6 | 9 |" in card and "a copy of it behind it" in card


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --widen PATTERN=WIDTH"),
        (["--widen", "stem"], "--widen 'stem': write PATTERN=FACTOR or PATTERN=UNITS"),
        (["--widen", "stem=wide"], "--widen 'stem=wide': write PATTERN=FACTOR"),
        (["--widen", "*=2.0", "--widen", "*=3.0"], "--widen * is given twice"),
        (["--widen", "*=3"], "has 6 units, not fewer than 3"),
        (["--widen", "trunk=2.0"], "'trunk' matches no axis"),
        (["--deepen", "1", "--where", "influence"], "--where influence measures on data; give --data"),
        (["--deepen", "1", "--where", "blocks.9"], "'blocks.9' is no block of this model"),
    ],
)
def test_bad_input_is_one_message(file: str, options: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["grow", f"{file}:model", "--out", "large", *options])
    assert done.exit_code == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not Path("large").exists()
