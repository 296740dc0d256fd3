"""Plans as JSON: what goes in comes out, and nothing else comes out."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsmith.errors import FileError
from netsmith.files import plan_from_json, plan_to_json
from netsmith.files.layout_codec import MAX_UNITS
from netsmith.files.plan_file import MAX_BYTES, checksum, read_plan_file, spell
from netsmith.plans.edits import ResizeAxis
from netsmith.plans.plan import Plan
from netsmith.wiring.layouts import Concat, Layout

PLAN = Plan(
    edits=(ResizeAxis("a:0", 4, (0, 2, 3)), ResizeAxis("b:0", 8, (1, 7), ("layer_norm in norm1",))),
    sizes={"a:0": 4, "b:0": 8, "c:1": 2},
    layouts={"a": (("a:0",), (3, "b:0")), "cat": ((Concat((("a:0",), ("b:0", 2), ())), "c:1"), ()), "scalar": ()},
    attributes={"block.attn:num_heads": (8, 2), ":config.hidden_size": (4, 3), "block:shape[1]": (4, 3)},
    fingerprint="0f" * 32,
    refitted=frozenset({"a", "cat"}),
)

printable = st.characters(categories=("L", "N", "P", "S"))
names = st.text(printable, min_size=1, max_size=12).filter(lambda name: "__" not in name)


def concats(layouts: st.SearchStrategy[Layout]) -> st.SearchStrategy[Concat]:
    return st.lists(layouts, min_size=1, max_size=3).map(lambda parts: Concat(tuple(parts)))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    sizes = draw(st.dictionaries(names, st.integers(1, 40), max_size=5))
    edits = []
    for axis, size in sizes.items():
        if draw(st.booleans()):
            keep = tuple(sorted(draw(st.sets(st.integers(0, size - 1), min_size=1))))
            edits.append(
                ResizeAxis(axis, size, keep, tuple(draw(st.lists(st.text(printable, max_size=9), max_size=2))))
            )
    part: st.SearchStrategy[Any] = st.integers(1, 9) | (st.sampled_from(sorted(sizes)) if sizes else st.nothing())
    flat: st.SearchStrategy[Layout] = st.lists(part, max_size=3).map(tuple)
    layouts = st.recursive(flat, lambda inner: st.lists(part | concats(inner), max_size=2).map(tuple), max_leaves=4)
    number = st.integers(0, 2**40)
    return Plan(
        edits=tuple(edits),
        sizes=sizes,
        layouts=draw(st.dictionaries(names, st.lists(layouts, max_size=3).map(tuple), max_size=4)),
        attributes=draw(st.dictionaries(names, st.tuples(number, number), max_size=3)),
        fingerprint=draw(st.text("0123456789abcdef", min_size=1, max_size=64)),
        refitted=frozenset(draw(st.sets(names, max_size=3))),
    )


@settings(max_examples=150, deadline=None)
@given(plans())
def test_any_plan_survives_the_round_trip(plan: Plan) -> None:
    record = plan_to_json(plan)

    assert plan_from_json(record) == plan
    assert plan_from_json(json.dumps(record)) == plan
    assert json.loads(spell(record)) == record


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_cut_of_the_text_is_a_file_error(data: st.DataObject) -> None:
    text = spell(plan_to_json(PLAN)).rstrip()
    end = data.draw(st.integers(0, len(text) - 1))

    with pytest.raises(FileError, match=r"plan\.json: no complete JSON.*save the model again"):
        plan_from_json(text[:end])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_changed_character_is_a_file_error_or_the_same_plan(data: st.DataObject) -> None:
    text = spell(plan_to_json(PLAN))
    position = data.draw(st.integers(0, len(text) - 1))
    changed = text[:position] + data.draw(st.characters(codec="utf-8")) + text[position + 1 :]

    try:
        plan = plan_from_json(changed)
    except FileError:
        return
    assert plan == PLAN  # the change was one of spelling: white space


def resealed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """PLAN's record after a change by someone who knows about the checksum."""
    record = json.loads(json.dumps(plan_to_json(PLAN)))
    change(record)
    record.pop("checksum", None)
    return record | {"checksum": checksum(record)}


def nested(depth: int) -> Any:
    layout: list[Any] = [1]
    for _ in range(depth):
        layout = [{"concat": [layout]}]
    return layout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(format="pickle"), r'field "format" is not "netsmith-plan"'),
        (lambda r: r.update(version=4), r'field "version" is 4; netsmith .* reads versions 1 to 3'),
        (lambda r: r.pop("version"), r'field "version" is None'),
        (lambda r: r.update(hook="os.system"), r"hook: Extra inputs are not permitted"),
        (lambda r: r["edits"][0].update(run="x"), r"edits\.0\.run: Extra inputs are not permitted"),
        (lambda r: r["edits"][0].update(kind="call"), r"edits\.0: Input tag 'call' found using 'kind' does not"),
        (lambda r: r["edits"][0].update(size="4"), r"edits\.0\.size: Input should be a valid integer"),
        (lambda r: r["edits"][0].update(size=5), r"contradicts itself: edit of 'a:0': size 5 disagrees"),
        (lambda r: r["edits"][0].update(keep=[2, 0]), r"contradicts itself: edit of 'a:0': keep must be ascending"),
        (lambda r: r["edits"][0].update(keep=[0, 4]), r"contradicts itself: edit of 'a:0': keep must be .* 0\.\.3"),
        (lambda r: r["edits"][0].update(keep=[]), r"contradicts itself: edit of 'a:0': .*not empty"),
        (lambda r: r["edits"][0].update(keep=[-1]), r"edits\.0\.keep\.0: Input should be greater than or equal to 0"),
        (lambda r: r["edits"][0].update(keep=[True]), r"edits\.0\.keep\.0: Input should be a valid integer"),
        (lambda r: r["edits"].append(r["edits"][0]), r"contradicts itself: two edits change the same axis"),
        (lambda r: r["sizes"].update({"a:0": 0}), r"sizes\.a:0: Input should be greater than or equal to 1"),
        (lambda r: r["sizes"].update({"a:0": MAX_UNITS + 1}), r"sizes\.a:0: Input should be less than or equal to"),
        (lambda r: r["sizes"].update({"a:0": 4.0}), r"sizes\.a:0: Input should be a valid integer"),
        (lambda r: r["sizes"].update({"x" * 600: 4}), r"sizes\..*a name must have 1 to 512 characters"),
        (lambda r: r["sizes"].update({"a\x1b[2J": 4}), r"'sizes\.a\\x1b\[2J\.\[key\]': .*cannot be printed"),
        (lambda r: r["edits"][1].update(statistics=["\x1b[2J"]), r"edits\.1\.statistics\.0: .*cannot be printed"),
        (lambda r: r["sizes"].pop("c:1"), r"contradicts itself: layout of 'cat' names axes without a size: c:1"),
        (lambda r: r["layouts"].update(a=[[0]]), r"layouts\.a\.0: .*a factor of a layout must lie in 1\.\."),
        (lambda r: r["layouts"].update(a=[[True]]), r"layouts\.a\.0: .*not a bool"),
        (lambda r: r["layouts"].update(a=["a:0"]), r"layouts\.a\.0: .*a layout must be a list, not str"),
        (lambda r: r["layouts"].update(a=[[{"sum": [[1]]}]]), r"layouts\.a\.0: .*a part of a layout must be"),
        (lambda r: r["layouts"].update(a=[[{"concat": []}]]), r"layouts\.a\.0: .*a part of a layout must be"),
        (lambda r: r["layouts"].update(a=[nested(17)]), r"layouts\.a\.0: .*nests deeper than 16"),
        (lambda r: r["layouts"].update(a=[[MAX_UNITS, 2]]), r'field "layouts\.a" makes a dimension of more than'),
        (lambda r: r["attributes"].update({":n": [1]}), r"attributes\.:n: List should have at least 2 items"),
        (lambda r: r["attributes"].update({":n": [1, -2]}), r"attributes\.:n\.1: .*should be an int from 0"),
        (lambda r: r["attributes"].update({":a.__class__": [2, 1]}), r"reaches for a special attribute of Python"),
        (lambda r: r.update(refitted="a"), r"refitted: Input should be a valid list"),
        (lambda r: r.pop("fingerprint"), r"fingerprint: Field required"),
        (lambda r: r.update(weights={"file": "/etc/passwd"}), r"weights\.file: Input should be 'model\.safetensors'"),
    ],
)  # fmt: skip
def test_every_fault_names_its_field(change: Callable[[dict[str, Any]], object], message: str) -> None:
    record = resealed(change)

    with pytest.raises(FileError, match=message) as caught:
        plan_from_json(record, "out/plan.json")
    assert str(caught.value).startswith("out/plan.json: ")
    assert "save" in str(caught.value)  # the way out
    with pytest.raises(FileError, match=message):
        plan_from_json(json.dumps(record))


def test_a_plan_that_was_edited_by_hand() -> None:
    record = plan_to_json(PLAN)
    record["edits"][0]["keep"] = [0, 1, 3]  # valid, of the same shapes, and wrong for the weights

    with pytest.raises(FileError, match=r'plan\.json: field "checksum" does not fit the rest'):
        plan_from_json(record)


def test_all_faults_come_at_once() -> None:
    record = resealed(lambda r: r.update(refitted=1, sizes=2, edits=3))

    with pytest.raises(FileError, match=r"(?s)3 fields are.*edits:.*sizes:.*refitted:"):
        plan_from_json(record)


def test_many_faults_are_cut_short() -> None:
    record = resealed(lambda r: r["sizes"].update({f"n{i}": 0 for i in range(100)}))

    with pytest.raises(FileError, match=r"100 fields are[\s\S]*and 95 more"):
        plan_from_json(record)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no complete JSON"),
        ("[" * 100_000, "nested deeper than any plan"),
        ('{"format": "netsmith-plan", "format": 1}', "field 'format' occurs twice"),
        (f'{{"version": {"9" * 5000}}}', "no plan: "),
        ("[1]", 'field "format" is not'),
        ("null", 'field "format" is not'),
    ],
)
def test_texts_that_are_no_plan(text: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        plan_from_json(text)


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(pickle.dumps(Explodes()))

    with pytest.raises(FileError, match=r"plan\.json: no UTF-8 text at byte 0"):
        read_plan_file(path)


class Explodes:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("unpickled",))


def test_a_file_of_absurd_size_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # sparse

    with pytest.raises(FileError, match=r"plan\.json: 268,435,457 bytes; no plan is larger"):
        read_plan_file(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"plan\.json: cannot be read \(No such file or directory\)\. Give a folder"):
        read_plan_file(tmp_path / "plan.json")
