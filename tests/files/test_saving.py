"""What save writes, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

import netsmith
from netsmith.errors import FileError, InputError, ModelError, PlanError
from netsmith.files import load_plan, saving, weights
from netsmith.plans.edits import ResizeAxis
from netsmith.plans.plan import Plan
from netsmith.surgery import apply
from netsmith.wiring import fingerprint


class Small(nn.Module):
    """Two linear layers; the axis between them is ``hidden``."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 6)
        self.second = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x).relu())
        return y


def small_plan(model: nn.Module) -> Plan:
    return Plan(
        edits=(ResizeAxis("hidden", 6, (0, 2, 5)),),
        sizes={"hidden": 6},
        layouts={
            "first.weight": (("hidden",), (3,)),
            "first.bias": (("hidden",),),
            "second.weight": ((2,), ("hidden",)),
        },
        attributes={},
        fingerprint=fingerprint(model),
        refitted=frozenset({"second.bias"}),
    )


@pytest.fixture
def plan() -> Plan:
    return small_plan(Small())


@pytest.fixture
def model(plan: Plan) -> nn.Module:
    torch.manual_seed(0)
    return apply(Small(), plan)


def test_the_folder_holds_weights_plan_and_card(tmp_path: Path, model: nn.Module, plan: Plan) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    netsmith.save(model, tmp_path / "new" / "out", plan=plan)

    out = tmp_path / "new" / "out"
    assert sorted(path.name for path in out.iterdir()) == ["card.md", "model.safetensors", "plan.json"]
    saved = load_file(out / "model.safetensors")
    assert saved.keys() == before.keys()
    assert all(torch.equal(saved[name], tensor) for name, tensor in before.items())
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    assert load_plan(out) == plan


def test_all_files_have_the_permissions_of_new_files(tmp_path: Path, model: nn.Module, plan: Plan) -> None:
    (tmp_path / "new").touch()

    netsmith.save(model, tmp_path / "out", plan=plan)

    assert {p.stat().st_mode for p in (tmp_path / "out").iterdir()} == {(tmp_path / "new").stat().st_mode}


def test_the_disk_fills_up_while_weights_are_written(
    tmp_path: Path, model: nn.Module, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(weights, "save_file", full)

    with pytest.raises(FileError, match=r"model\.safetensors: cannot be written \(I/O error: No space left"):
        netsmith.save(model, tmp_path / "out", plan=plan)
    assert list(tmp_path.iterdir()) == []


def test_the_same_model_makes_the_same_files(tmp_path: Path, model: nn.Module, plan: Plan) -> None:
    netsmith.save(model, tmp_path / "a" / "out", plan=plan)
    netsmith.save(model, tmp_path / "b" / "out", plan=plan)

    for name in ("model.safetensors", "plan.json", "card.md"):
        assert (tmp_path / "a" / "out" / name).read_bytes() == (tmp_path / "b" / "out" / name).read_bytes()


def test_the_files_name_no_place_of_this_machine(tmp_path: Path, model: nn.Module, plan: Plan) -> None:
    netsmith.save(model, tmp_path / "out", plan=plan)

    assert not [p.name for p in (tmp_path / "out").iterdir() if str(tmp_path).encode() in p.read_bytes()]


def test_the_card_tells_what_was_changed_and_how_to_load(tmp_path: Path, model: nn.Module, plan: Plan) -> None:
    netsmith.save(model, tmp_path / "out", plan=plan, notes="Accuracy 0.97 on the test images.")

    card = (tmp_path / "out" / "card.md").read_text(encoding="utf-8")
    assert "A `Small` of" in card
    assert f"netsmith {netsmith.__version__} (torch {torch.__version__})" in card
    assert "**20 of 38 parameters (53%)**" in card  # 3·6+6 + 6·2+2 before, 3·3+3 + 3·2+2 after
    assert "| `hidden` | 6 | 3 | 50% |" in card
    assert "netsmith.load('out', build)" in card
    assert "changed afterwards, by repair or training: 1." in card
    assert card.endswith("## Notes\n\nAccuracy 0.97 on the test images.\n")


def test_nan_and_infinity_are_kept(tmp_path: Path, model: nn.Module, plan: Plan) -> None:
    with torch.no_grad():
        model.second.bias.copy_(torch.tensor([float("nan"), float("-inf")]))

    netsmith.save(model, tmp_path / "out", plan=plan)

    bias = load_file(tmp_path / "out" / "model.safetensors")["second.bias"]
    assert torch.isnan(bias[0])
    assert bias[1] == float("-inf")


def test_a_folder_with_something_in_it(tmp_path: Path, model: nn.Module, plan: Plan) -> None:
    netsmith.save(model, tmp_path / "out", plan=plan)

    with pytest.raises(FileError, match=r"out: .*card\.md and 2 more is in the way\. Give a path that does not exist"):
        netsmith.save(model, tmp_path / "out", plan=plan)
    netsmith.load(tmp_path / "out", Small)


def test_a_place_below_a_file(tmp_path: Path, model: nn.Module, plan: Plan) -> None:
    (tmp_path / "file").write_text("kept")

    with pytest.raises(FileError, match=r"cannot be written \(.*Give"):
        netsmith.save(model, tmp_path / "file" / "out", plan=plan)
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("stage", ["write_weights", "card_text", "plan_to_json"])
def test_an_error_midway_leaves_nothing(
    stage: str, tmp_path: Path, model: nn.Module, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr(saving, stage, fail)

    with pytest.raises(RuntimeError, match="power cut"):
        netsmith.save(model, tmp_path / "deep" / "out", plan=plan)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_of_another_model(tmp_path: Path, plan: Plan) -> None:
    with pytest.raises(
        PlanError, match=r"(?s)3 tensors differ:\s+first\.weight: \(3, 3\) by the plan, \(6, 3\) in the model"
    ):
        netsmith.save(Small(), tmp_path / "out", plan=plan)
    with pytest.raises(PlanError, match=r"first\.weight: \(3, 3\) by the plan, absent in the model"):
        netsmith.save(nn.Linear(2, 2), tmp_path / "out", plan=plan)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_no_file_can_hold(tmp_path: Path, model: nn.Module, plan: Plan) -> None:
    wrong = replace(plan, attributes={":n": (4, -4)})

    with pytest.raises(PlanError, match=r"(?s)the plan cannot be written as a file: .*attributes\.:n\.1"):
        netsmith.save(model, tmp_path / "out", plan=wrong)
    assert list(tmp_path.iterdir()) == []


def test_tensors_without_values(tmp_path: Path, plan: Plan) -> None:
    with torch.device("meta"):
        model = apply(Small(), plan)

    with pytest.raises(
        ModelError, match=r"(?s)4 tensors of the model cannot be saved:.*second\.bias: on the meta device"
    ):
        netsmith.save(model, tmp_path / "out", plan=plan)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (lambda: torch.eye(3).to_sparse(), r"extra: Tensor of torch\.sparse_coo, not an ordinary dense tensor"),
        (lambda: torch.zeros(2, dtype=torch.complex128), r"safetensors cannot hold tensors of torch\.complex128"),
    ],
)
def test_tensors_that_safetensors_cannot_hold(
    tensor: Callable[[], Tensor], message: str, tmp_path: Path, model: nn.Module, plan: Plan
) -> None:
    model.register_buffer("extra", tensor())

    with pytest.raises(ModelError, match=message):
        netsmith.save(model, tmp_path / "out", plan=plan)
    assert list(tmp_path.iterdir()) == []


def test_arguments_of_the_wrong_kind(tmp_path: Path, model: nn.Module, plan: Plan) -> None:
    with pytest.raises(InputError, match=r"model is a OrderedDict, not a torch\.nn\.Module"):
        netsmith.save(model.state_dict(), tmp_path / "out", plan=plan)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"plan is a dict, not a netsmith Plan"):
        netsmith.save(model, tmp_path / "out", plan={})  # type: ignore[arg-type]
    for path in (None, 5, ""):
        with pytest.raises(InputError, match=r"path is .*; give a folder"):
            netsmith.save(model, path, plan=plan)  # type: ignore[arg-type]


def test_plan_json_tells_tied_tensors_and_the_hash(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    plan = Plan((), {}, {}, {}, fingerprint(model))

    netsmith.save(model, tmp_path / "out", plan=plan)

    entry = json.loads((tmp_path / "out" / "plan.json").read_text())["weights"]
    assert entry["aliases"] == {"1.weight": "0.weight"}
    assert entry["sha256"] == saving.sha256_of(tmp_path / "out" / "model.safetensors")
    assert "1.weight" not in load_file(tmp_path / "out" / "model.safetensors")


def test_files_beside_appear_with_the_rest_or_not_at_all(tmp_path: Path, model: nn.Module, plan: Plan) -> None:
    netsmith.files.save(model, tmp_path / "out", plan=plan, beside={"source.json": "{}"})
    assert (tmp_path / "out" / "source.json").read_text() == "{}"
    with pytest.raises(FileError):
        netsmith.files.save(model, tmp_path / "two", plan=plan, beside={"no/such/folder.json": "{}"})
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
