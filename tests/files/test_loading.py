"""What save wrote comes back bit by bit; what was damaged is refused."""

from __future__ import annotations

import json
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import netsmith
from netsmith.errors import FileError, InputError, PlanError
from netsmith.files import load_plan
from netsmith.files.plan_file import checksum
from netsmith.files.saving import sha256_of
from netsmith.plans.edits import ResizeAxis
from netsmith.plans.plan import Plan
from netsmith.surgery import apply
from netsmith.wiring import fingerprint, tensor_slots


class Everything(nn.Module):
    """Every kind of slot: tied parameters, both kinds of buffers, plain tensors, a list, a frozen parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 6)
        self.conv = nn.Conv1d(6, 6, 3, padding=1, groups=2)
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 5, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scale", torch.rand(6, 1), persistent=False)
        self.register_buffer("steps", torch.tensor(3))
        self.shift = torch.rand(6, 1)
        self.same_shift = self.shift
        self.list = [torch.rand(1), torch.rand(2)]
        self.gain = nn.Parameter(torch.rand(6, 1), requires_grad=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens).transpose(1, 2)  # (N, 6, length)
        x = self.norm(self.conv(x) * self.scale * self.gain + self.shift + self.list[0])
        y: Tensor = self.head(x.mean(2))
        return y


def everything_plan() -> Plan:
    """Keeps 2 of the 3 channels of each of the convolution's groups on both sides, which are one axis."""
    both = ((2, "width"),)  # the channels of both groups
    return Plan(
        edits=(ResizeAxis("width", 3, (0, 2)),),
        sizes={"width": 3},
        layouts={
            "embed.weight": ((5,), (2, "width")),
            "conv.weight": (*both, ("width",), (3,)),
            **dict.fromkeys(("conv.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"), both),
            **dict.fromkeys(("scale", "shift", "same_shift", "gain"), (*both, ())),
        },
        attributes={},
        fingerprint=fingerprint(Everything()),
    )


TOKENS = torch.tensor([[0, 1, 2, 3], [4, 4, 0, 1]])


def saved(path: Path, change: Callable[[nn.Module], object] = lambda model: None) -> tuple[nn.Module, Plan]:
    """An edited model with values of its own, saved at path."""
    torch.manual_seed(1)
    plan = everything_plan()
    model = apply(Everything(), plan).train()
    model(TOKENS)  # moves the running statistics
    model.eval()
    change(model)
    netsmith.save(model, path, plan=plan)
    return model, plan


def bits(model: nn.Module) -> dict[str, tuple[Any, ...]]:
    return {
        slot.name: (
            slot.tensor.dtype,
            tuple(slot.tensor.shape),
            slot.tensor.detach().flatten().contiguous().view(torch.uint8).tolist(),
        )
        for slot in tensor_slots(model)
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_every_tensor_and_the_outputs_are_bit_equal(tmp_path: Path, dtype: torch.dtype) -> None:
    def change(model: nn.Module) -> None:
        model.to(dtype)
        model.shift = model.same_shift = model.shift.to(dtype)
        model.list = [item.to(dtype) for item in model.list]

    model, _ = saved(tmp_path / "out", change)

    loaded = netsmith.load(tmp_path / "out", Everything)

    assert type(loaded) is Everything
    assert not any(module.training for module in loaded.modules())
    assert bits(loaded) == bits(model)
    assert torch.equal(loaded(TOKENS), model(TOKENS))


def test_shared_tensors_stay_shared_and_parameters_stay_parameters(tmp_path: Path) -> None:
    saved(tmp_path / "out")

    loaded = netsmith.load(tmp_path / "out", Everything)

    assert loaded.head.weight is loaded.embed.weight
    assert loaded.same_shift is loaded.shift
    assert {name: p.requires_grad for name, p in loaded.named_parameters()} == {
        name: p.requires_grad for name, p in Everything().named_parameters()
    }
    assert not loaded.gain.requires_grad
    assert list(loaded.state_dict()) == list(Everything().state_dict())  # scale is still not persistent
    loaded.train()(TOKENS).sum().backward()
    assert loaded.embed.weight.grad is not None


def test_a_tie_that_was_cut_stays_cut(tmp_path: Path) -> None:
    def untie(model: nn.Module) -> None:
        model.head.weight = nn.Parameter(model.head.weight.detach() + 1)

    model, _ = saved(tmp_path / "out", untie)

    loaded = netsmith.load(tmp_path / "out", Everything)

    assert loaded.head.weight is not loaded.embed.weight
    assert bits(loaded) == bits(model)


def test_memory_order_is_kept(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(5, 2)).to(memory_format=torch.channels_last)
    model[1].weight = nn.Parameter(torch.rand(5, 2).t())
    plan = Plan((), {}, {}, {}, fingerprint(model))
    netsmith.save(model, tmp_path / "out", plan=plan)

    loaded = netsmith.load(tmp_path / "out", lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(5, 2)))

    assert [p.stride() for p in loaded.parameters()] == [p.stride() for p in model.parameters()]
    assert bits(loaded) == bits(model)


def test_views_of_one_storage(tmp_path: Path) -> None:
    whole = torch.rand(4, 4)
    model = nn.Linear(4, 2)
    model.weight = nn.Parameter(whole[:2])
    model.register_buffer("rest", whole[2:])
    model.register_buffer("repeated", torch.rand(1).expand(3))
    plan = Plan((), {}, {}, {}, fingerprint(model))
    netsmith.save(model, tmp_path / "out", plan=plan)

    def build() -> nn.Module:
        linear = nn.Linear(4, 2)
        linear.register_buffer("rest", torch.zeros(2, 4))
        linear.register_buffer("repeated", torch.zeros(3))
        return linear

    loaded = netsmith.load(tmp_path / "out", build)

    assert bits(loaded) == bits(model)


def test_recurrent_layers_use_the_loaded_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.LSTM(3, 4, num_layers=2, bidirectional=True).eval()
    netsmith.save(model, tmp_path / "out", plan=Plan((), {}, {}, {}, fingerprint(model)))
    x = torch.rand(5, 2, 3)

    loaded = netsmith.load(tmp_path / "out", lambda: nn.LSTM(3, 4, num_layers=2, bidirectional=True))

    assert torch.equal(loaded(x)[0], model(x)[0])


def test_a_plan_of_the_planner_on_a_real_network(tmp_path: Path) -> None:
    from netsmith.zoo import digits_resnet

    torch.manual_seed(0)
    x, original = torch.rand(2, 1, 8, 8), digits_resnet(width=4)
    plan = netsmith.plan_removal(netsmith.trace(original, x), keep=0.5)
    model = netsmith.apply(original, plan).eval()
    netsmith.save(model, tmp_path / "out", plan=plan)

    loaded = netsmith.load(tmp_path / "out", lambda: digits_resnet(width=4))

    assert torch.equal(loaded(x), model(x))
    assert str(loaded) == str(model)
    assert load_plan(tmp_path / "out") == plan


def test_a_model_that_was_pruned_twice(tmp_path: Path) -> None:
    first, _ = saved(tmp_path / "first")
    again = Plan((), {}, {}, {}, fingerprint(first))
    netsmith.save(apply(first, again), tmp_path / "second", plan=again)

    loaded = netsmith.load(tmp_path / "second", lambda: netsmith.load(tmp_path / "first", Everything))

    assert bits(loaded) == bits(first)


def test_the_constructor_allocates_nothing_where_it_can(tmp_path: Path) -> None:
    saved(tmp_path / "out")
    devices = []

    def build() -> nn.Module:
        model = Everything()
        devices.append(model.embed.weight.device.type)
        return model

    netsmith.load(tmp_path / "out", build)

    assert devices == ["meta"]


def test_a_constructor_that_needs_values(tmp_path: Path) -> None:
    model, _ = saved(tmp_path / "out")

    def build() -> nn.Module:
        _ = [rate.item() for rate in torch.linspace(0, 1, 3)]  # as timm does for its drop path
        return Everything()

    assert bits(netsmith.load(tmp_path / "out", build)) == bits(model)


def test_a_fresh_process_gives_the_same_bits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).eval()
    netsmith.save(model, tmp_path / "out", plan=Plan((), {}, {}, {}, fingerprint(model)))
    script = (
        "import sys, torch, netsmith\n"
        "from torch import nn\n"
        "model = netsmith.load(sys.argv[1], lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))\n"
        "print(model(torch.arange(3.0)).detach().view(torch.int32).tolist())\n"
    )

    command = [sys.executable, "-c", script, str(tmp_path / "out")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    assert json.loads(printed) == model(torch.arange(3.0)).detach().view(torch.int32).tolist()


# --- damage -----------------------------------------------------------------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def swap(path: Path) -> None:
    save_file({name: tensor + 0 for name, tensor in list(load_file(path).items())[1:]}, path)


class Explodes:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("unpickled",))


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(Explodes()))


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, swap, pickled, lambda path: path.write_bytes(b"")])
def test_damaged_weights(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    saved(tmp_path / "out")
    damage(tmp_path / "out" / "model.safetensors")

    with pytest.raises(
        FileError, match=r"model\.safetensors: not the file that plan\.json was written for.*save the model"
    ):
        netsmith.load(tmp_path / "out", Everything)


def reseal(folder: Path, change: Callable[[dict[str, Any]], object] = lambda record: None) -> None:
    """Make both hashes fit again, as someone would who means harm."""
    record = json.loads((folder / "plan.json").read_text())
    record["weights"]["sha256"] = sha256_of(folder / "model.safetensors")
    change(record)
    del record["checksum"]
    (folder / "plan.json").write_text(json.dumps(record | {"checksum": checksum(record)}))


@pytest.mark.parametrize("damage", [truncate, pickled, lambda path: path.write_bytes(b"")])
def test_damaged_weights_with_a_fitting_hash(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    saved(tmp_path / "out")
    damage(tmp_path / "out" / "model.safetensors")
    reseal(tmp_path / "out")

    with pytest.raises(FileError, match=r"model\.safetensors: no complete safetensors file \(.*Save the model again"):
        netsmith.load(tmp_path / "out", Everything)


def test_weights_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    saved(tmp_path / "out")
    weights = tmp_path / "out" / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(weights).items()}
    del tensors["conv.bias"]
    tensors["gain"] = torch.zeros(6, 2)
    save_file(tensors | {"surplus": torch.zeros(1)}, weights)
    reseal(tmp_path / "out")

    with pytest.raises(FileError) as caught:
        netsmith.load(tmp_path / "out", Everything)
    text = str(caught.value)
    assert "3 tensors do not fit the model that build() makes" in text
    assert "conv.bias: in the model, but not in the file" in text
    assert "gain: 6×2 in the file, 4×1 in the model" in text
    assert "surplus: in the file, but not in the model" in text


def test_a_truncated_plan(tmp_path: Path) -> None:
    saved(tmp_path / "out")
    truncate(tmp_path / "out" / "plan.json")

    with pytest.raises(FileError, match=r"plan\.json: no complete JSON.*save the model again"):
        netsmith.load(tmp_path / "out", Everything)


def test_a_changed_keep_index(tmp_path: Path) -> None:
    saved(tmp_path / "out")
    path = tmp_path / "out" / "plan.json"
    text = path.read_text()
    assert '"keep": [0, 2]' in text
    path.write_text(text.replace('"keep": [0, 2]', '"keep": [0, 1]'))

    with pytest.raises(FileError, match=r'plan\.json: field "checksum" does not fit the rest of the file'):
        netsmith.load(tmp_path / "out", Everything)


def test_a_forged_layout_fills_no_memory(tmp_path: Path) -> None:
    saved(tmp_path / "out")
    reseal(tmp_path / "out", lambda r: r["layouts"].update({"conv.bias": [[2**29, "width"]]}))

    with pytest.raises(
        FileError, match=r'plan\.json: field "layouts\.conv\.bias" makes \(1610612736,\), but the model'
    ):
        netsmith.load(tmp_path / "out", Everything)


@pytest.mark.parametrize("order", [[0, 0], [1], [0, 2]])
def test_a_forged_dimension_order(tmp_path: Path, order: list[int]) -> None:
    saved(tmp_path / "out")
    reseal(tmp_path / "out", lambda r: r["weights"].update(dim_orders={"gain": order}))

    with pytest.raises(FileError, match=r"dim_orders\.gain in plan\.json is no order of 2 dimensions"):
        netsmith.load(tmp_path / "out", Everything)


def test_a_plan_without_weights(tmp_path: Path) -> None:
    saved(tmp_path / "out")
    reseal(tmp_path / "out", lambda r: r.update(weights=None))

    with pytest.raises(FileError, match=r"plan\.json: holds a plan without weights\. Give a folder"):
        netsmith.load(tmp_path / "out", Everything)


@pytest.mark.parametrize("name", ["plan.json", "model.safetensors"])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    saved(tmp_path / "out")
    (tmp_path / "out" / name).unlink()

    with pytest.raises(FileError, match=rf"{name}: cannot be read \(No such file or directory\)\. Give a folder"):
        netsmith.load(tmp_path / "out", Everything)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"out: no such folder\. Give a folder that netsmith saved"):
        netsmith.load(tmp_path / "out", Everything)
    with pytest.raises(InputError, match=r"path is None; give a folder"):
        netsmith.load(None, Everything)  # type: ignore[arg-type]


# --- build ------------------------------------------------------------------------------------------------------------


def test_build_of_another_model(tmp_path: Path) -> None:
    saved(tmp_path / "out")

    with pytest.raises(PlanError, match=r"(?s)out: the plan does not belong to the model that build\(\) makes.*Linear"):
        netsmith.load(tmp_path / "out", lambda: nn.Linear(2, 2))


def test_build_of_the_model_after_the_change(tmp_path: Path) -> None:
    _, plan = saved(tmp_path / "out")

    with pytest.raises(
        PlanError, match=r"out: the plan does not belong.*\n.*embed\.weight is \(5, 4\), the plan expects"
    ):
        netsmith.load(tmp_path / "out", lambda: apply(Everything(), plan))


def broken() -> nn.Module:
    raise ZeroDivisionError("in the constructor")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (nn.Linear(2, 2).state_dict(), r"build is a OrderedDict; give a function without arguments"),
        (nn.Linear(2, 2), r"build is a Linear; give a function without arguments"),
        (broken, r"build\(\) raised ZeroDivisionError: in the constructor"),
        (nn.Linear, r"build\(\) raised TypeError: .*in_features"),
        (lambda: "resnet18", r"build\(\) returned a str, not a torch\.nn\.Module"),
    ],
)
def test_build_that_makes_no_model(tmp_path: Path, build: Any, message: str) -> None:
    saved(tmp_path / "out")

    with pytest.raises(InputError, match=message):
        netsmith.load(tmp_path / "out", build)


def test_the_files_are_as_they_were_after_loading(tmp_path: Path) -> None:
    saved(tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    loaded = netsmith.load(tmp_path / "out", Everything)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.add_(random.Random(0).random())

    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
