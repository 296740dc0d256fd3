"""A recipe is carried out once: what is finished is kept, whatever happens, and only while it still applies."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from netsmith.checks import verify
from netsmith.errors import FileError, InputError, NetsmithError
from netsmith.files import load
from netsmith.recipes import doing, run_recipe, running
from netsmith.recipes.step_folder import STEP
from netsmith.reports.record import read_run
from netsmith.sources.models import ModelSource, build_structure, open_model
from recipe_networks import NETWORK

HEAD = {"model": "net.py:model", "data": "net.py:batches", "eval": "net.py:held_out"}
STEPS: list[Any] = [
    {"inspect": {"influence": True}},
    {"finetune": {"epochs": 3, "lr": 0.05}},
    {"cut": {"blocks": 1}},
    {"prune": {"budget": {"macs": 0.7}}},
    {"distil": {"epochs": 2, "lr": 0.02}},
    {"evaluate": {"data": "net.py:held_out"}},
]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NETWORK)
    return tmp_path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each function that does a step's work was called."""
    counted: Counter[str] = Counter()

    def counting(name: str) -> Any:
        call = getattr(doing, name)

        def counted_call(*args: Any, **named: Any) -> Any:
            counted[name] += 1
            return call(*args, **named)

        return counted_call

    for name in ("finetune", "cut", "shrink", "distil"):
        monkeypatch.setattr(doing, name, counting(name))
    return counted


def weights(folder: str) -> bytes:
    return (Path(folder) / "model.safetensors").read_bytes()


def run(steps: list[Any] = STEPS, out: str = "out", **more: Any) -> running.RecipeRun:
    return run_recipe({**HEAD, "steps": steps}, out, **more)


def test_a_run_and_what_it_leaves() -> None:
    told: list[tuple[str, str, int, int]] = []
    done = run(progress=lambda *args: told.append(args))
    assert done.ok
    record = read_run(Path("out"))
    assert record == done.record
    assert [step.name for step in record.steps] == ["load", *(name for step in STEPS for name in step)]
    for step in record.steps:
        assert step.folder is not None and (Path("out") / step.folder / STEP).is_file()
    cut, distil = record.steps[3], record.steps[5]
    assert record.steps[0].cost and distil.cost and distil.cost.macs < 0.7 * record.steps[0].cost.macs
    assert cut.checks and distil.checks[0].name == "structure" and cut.asked["blocks"] == 1
    assert distil.classes is not None and sum(map(sum, distil.classes.confusion)) == 64
    assert distil.scores["accuracy"] == pytest.approx(sum(distil.classes.confusion[n][n] for n in range(3)) / 64)
    fates = {block.name: block.fate for block in record.blocks}
    assert sorted(fates.values()).count("kept") < len(fates)
    assert all(block.influence is not None for block in record.blocks if block.name.startswith("blocks."))
    widths = {axis.name: (axis.before, axis.after) for axis in record.axes}
    assert widths["stem.weight:1"] == (4, 4) and any(after < before for before, after in widths.values())
    assert record.influence_of_axes and {what for what, *_ in told} == {"load", *(n for step in STEPS for n in step)}
    # the saved model is the returned one, and keeps what its plan promises
    source = ModelSource("net.py:model")
    loaded, original = load("out/steps/05-distil", lambda: build_structure(source)), open_model(source)
    assert done.plan is not None
    assert torch.equal(loaded(original.example_inputs), done.model(original.example_inputs))
    assert verify(original.model, loaded, done.plan, original.example_inputs).ok


def test_nothing_is_done_twice(calls: Counter[str]) -> None:
    first = run()
    assert calls == {"finetune": 1, "cut": 1, "shrink": 1, "distil": 1}
    again = run(resume=True)
    assert calls.total() == 4
    assert all(step.cached for step in again.record.steps) and not any(step.cached for step in first.record.steps)
    x = torch.ones(2, 4)
    assert torch.equal(again.model(x), first.model(x)) and again.plan == first.plan
    assert [s.scores for s in again.record.steps] == [s.scores for s in first.record.steps]
    with pytest.raises(FileError, match=r"out holds a run already; go on with it by --resume"):
        run()


def test_a_changed_option_counts_from_its_step_on(calls: Counter[str]) -> None:
    run()
    changed = [*STEPS[:3], {"prune": {"budget": {"macs": 0.8}}}, *STEPS[4:]]
    done = run(changed, resume=True)
    assert calls == {"finetune": 1, "cut": 1, "shrink": 2, "distil": 2}
    assert [step.cached for step in done.record.steps] == [True, True, True, True, False, False, False]
    assert [step.asked.get("budget", {}).get("macs") for step in done.record.steps if step.kind == "shrink"] == [0.8]
    assert sorted(each.name for each in Path("out/steps").iterdir()) == [
        "00-load", "01-inspect", "02-finetune", "03-cut", "04-prune", "05-distil", "06-evaluate"
    ]  # fmt: skip


def test_steps_that_only_look_change_nothing_behind_them(calls: Counter[str]) -> None:
    run()
    done = run([*STEPS[1:3], {"inspect": {}}, *STEPS[3:]], resume=True)  # other numbers, another step in between
    assert calls.total() == 4
    assert [s.name for s in done.record.steps if not s.cached] == ["inspect"]
    assert Path("out/steps/05-distil/model.safetensors").is_file() and not Path("out/steps/02-finetune").exists()
    assert done.record.steps[-1].folder == "steps/06-evaluate"


@pytest.mark.parametrize("what", ["weights", "data", "seed", "code"])
def test_what_a_result_depends_on(calls: Counter[str], what: str) -> None:
    steps = [{"finetune": {"steps": 2}}, {"grow": {"deepen": 1}}]
    run(steps)
    more = {}
    if what == "weights":
        torch.save({k: v + 0.1 for k, v in open_model(ModelSource("net.py:model")).model.state_dict().items()}, "w.pt")
        more = {"weights": "w.pt"}
    elif what == "data":
        Path("other.py").write_text(NETWORK)
        more = {"data": "other.py:batches"}
    elif what == "seed":
        more = {"seed": 1}
    else:
        Path("net.py").write_text(NETWORK + "\n# another text may be other data\n")
    run_recipe({**HEAD, **more, "steps": steps}, "out", resume=True)
    assert calls["finetune"] == 2


def test_interrupted_between_and_within_steps(calls: Counter[str]) -> None:
    steps = [{"cut": {"blocks": 1}}, {"finetune": {"epochs": 6, "lr": 0.05, "checkpoint_every": 1}}, STEPS[3]]
    undisturbed = run(steps, "alone")
    calls.clear()
    steps[1]["finetune"]["data"] = "net.py:dangerous"
    Path("pass").write_text("stop 4")
    with pytest.raises(KeyboardInterrupt):
        run(steps)
    assert [step.name for step in read_run(Path("out")).steps] == ["load", "cut"]
    assert sorted(each.name for each in Path("out/steps").iterdir()) == [".training", "00-load", "01-cut"]
    passes = int(Path("pass").read_text().split()[1])
    done = run(steps, resume=True)
    assert passes - int(Path("pass").read_text().split()[1]) < 6  # it went on in the middle of the training
    assert calls == {"cut": 1, "finetune": 2, "shrink": 1}
    assert weights("out/steps/03-prune") == weights("alone/steps/03-prune")
    assert done.plan == undisturbed.plan and not Path("out/steps/.training").exists()


def test_a_folder_that_was_not_finished_is_made_again(calls: Counter[str]) -> None:
    run(STEPS[1:4])
    Path("out/steps/02-cut/step.json").write_text("{")
    half = Path("out/steps/.03-prune.0123.tmp")
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    done = run(STEPS[1:4], resume=True)
    assert calls == {"finetune": 1, "cut": 2, "shrink": 1} and done.ok
    assert not half.exists()
    Path("out/steps/01-finetune/step.json").write_text('{"version": 1, "key": 3}')
    run(STEPS[1:4], resume=True)
    assert calls["finetune"] == 2
    Path("out/steps/03-prune/model.safetensors").write_bytes(b"changed by hand")
    with pytest.raises(FileError, match="not the file that plan.json was written for"):
        run([*STEPS[1:4], STEPS[4]], resume=True)


def test_a_broken_promise_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = doing.cut

    def wrong(*args: Any, **named: Any) -> Any:
        result = cut(*args, **named)
        with torch.no_grad():
            result.model.head.weight[0, 0] = float("nan")
        return result

    monkeypatch.setattr(doing, "cut", wrong)
    done = run([{"finetune": {"steps": 1}}, STEPS[2], STEPS[3]])
    assert not done.ok
    assert [step.name for step in done.record.steps] == ["load", "finetune", "cut"]
    monkeypatch.setattr(doing, "cut", cut)
    assert run([{"finetune": {"steps": 1}}, STEPS[2], STEPS[3]], resume=True).ok  # and it is not kept


def test_branches_and_an_ensemble_of_them(calls: Counter[str]) -> None:
    steps = [
        STEPS[1],
        {"prune": {"budget": {"macs": 0.5}, "name": "small"}},
        {"prune": {"budget": {"macs": 0.8}, "name": "large", "from": "finetune"}},
        {"ensemble": {"members": ["small", "large", "finetune"], "kind": "blend"}},
        {"evaluate": {}},
    ]
    done = run(steps)
    assert done.plan is None and done.ok and done.record.axes == ()
    small, large = done.record.steps[2], done.record.steps[3]
    assert small.cost and large.cost and small.cost.macs < large.cost.macs
    again = run(steps, resume=True)
    assert calls["shrink"] == 2
    x = torch.ones(2, 4)
    assert torch.equal(again.model(x), done.model(x))


def test_a_metric_of_ones_own(calls: Counter[str]) -> None:
    steps = [{"finetune": {"epochs": 2}}]
    done = run_recipe({**HEAD, "metric": "net.py:share_right", "steps": steps}, "out")
    assert set(done.record.steps[0].scores) == {"right", "n"} and done.record.steps[0].classes is None
    assert done.record.objectives == ("macs", "right")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"metric": "f1-ish"}, "there is no metric 'f1-ish'; there are accuracy, perplexity, loss"),
        ({"eval": "net.py:model"}, "a batch must be x or (x, y)"),
        ({"steps": [STEPS[2], {"evaluate": {"data": "parquet:none"}}]}, "none"),
        ({"model": "net.py:nothing"}, "has no function 'nothing'"),
        ({"data": "nowhere:x"}, "unknown data 'nowhere:x'"),
        ({"steps": [{"cut": {"blocks": 9}}]}, "recipe, steps.0.cut: cut cannot be done: blocks=9, but only"),
    ],
)
def test_what_cannot_be_done(more: dict[str, Any], message: str) -> None:
    with pytest.raises(NetsmithError) as caught:
        run_recipe({**HEAD, "steps": [STEPS[2]], **more}, "out")
    assert message in str(caught.value)
    assert not Path("out/steps/01-cut").exists()


def test_a_folder_that_is_no_run() -> None:
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(FileError, match="full holds 'mine.txt' and is no run"):
            run(out="full", resume=resume)
    Path("mine/steps/01-cut").mkdir(parents=True)
    with pytest.raises(FileError, match="mine holds 'steps' and is no run"):
        run(out="mine", resume=True)
    Path("out/steps/02-cut").mkdir(parents=True)
    Path("out/steps/00-load").mkdir()
    with pytest.raises(FileError, match="00-load is in the way, and was made by no run"):
        run(STEPS[1:3], resume=True)
    assert Path("mine/steps/01-cut").is_dir() and Path("out/steps/02-cut").is_dir()
    with pytest.raises(FileError, match=r"net.py is a file"):
        run(out="net.py")
    with pytest.raises(InputError, match="no option"):
        run([{"cut": {"n": 1}}], "never")
    assert not Path("never").exists()


def test_extras_are_asked_for_before_the_first_step(monkeypatch: pytest.MonkeyPatch, calls: Counter[str]) -> None:
    from netsmith.recipes import extras

    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    for step in ({"quantize": {"scheme": "int8"}}, {"export": {"to": "onnx"}}):
        with pytest.raises(NetsmithError, match=r"recipe, steps.1.*\n.*pip install"):
            run([STEPS[1], step])
    assert not calls and not Path("out").exists()


def test_the_record_is_json() -> None:
    run([{"export": {"to": "torch-export"}}, "report"])
    assert "torch-export" in Path("out/report.html").read_text()
    content = json.loads(Path("out/run.json").read_text())
    assert content["steps"][1]["folder"] == "steps/01-export"
    assert Path("out/steps/01-export/torch-export/model.pt2").is_file()
    assert content["asked"]["steps"][0]["export"]["free_batch"] is True


def test_a_search_is_a_step_and_its_candidates_are_told(calls: Counter[str]) -> None:
    pytest.importorskip("optuna")
    search = {"search": {"budgets": [{"macs": 0.6}], "trials": 2, "finalists": 1}}
    done = run([STEPS[1], search, {"finetune": {"steps": 2}}])
    assert done.ok and done.record.candidates and done.record.objectives == ("macs", "accuracy")
    assert any(candidate.on_front for candidate in done.record.candidates)
    first, found = done.record.steps[0], done.record.steps[2]
    assert first.cost and found.cost and found.cost.macs <= 0.6 * first.cost.macs
    again = run([STEPS[1], search, {"finetune": {"steps": 3}}], resume=True)
    assert [step.cached for step in again.record.steps] == [True, True, True, False]
    assert again.record.candidates == done.record.candidates


def test_engines_that_were_timed_stand_in_the_record() -> None:
    steps = [*STEPS[2:4], {"evaluate": {"engines": "eager"}}]
    done = run(steps)
    assert [(row.engine, row.precision) for row in done.record.engines] == [("eager", "fp32"), ("eager", "bf16")]
    assert all(row.original_ms and row.result_ms and row.batch == 2 for row in done.record.engines)
    assert any(line.startswith("fastest for result: eager") for line in done.record.steps[-1].said)
    assert run(steps, resume=True).record.engines == done.record.engines
    assert run([{"evaluate": {"engines": ["eager"]}}], out="alone").record.engines[0].original_ms
