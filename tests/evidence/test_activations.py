"""Moments of every layer's inputs against the inputs themselves, with padding, in files, and in bounded memory."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import netsmith
from netsmith.errors import EvidenceError, FileError, InputError
from netsmith.evidence import Activations, activations, load_activations, save_activations
from small_networks import NETWORKS, mlp, network


def entering(model: nn.Module, layer: nn.Module, batches: list[Any]) -> torch.Tensor:
    """Rows that a linear layer or convolution multiplies with its weight, by a hook and by unfolding."""
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    with torch.no_grad():
        for batch in batches:
            model(**batch) if isinstance(batch, dict) else model(batch)
    hook.remove()
    x = torch.cat(seen)
    if isinstance(layer, nn.Conv2d):
        x = F.unfold(x, layer.kernel_size, padding=layer.padding).transpose(1, 2)  # (examples, positions, inputs)
        return x.reshape(-1, layer.groups, x.shape[-1] // layer.groups)
    return x.reshape(-1, 1, x.shape[-1])


@pytest.mark.parametrize("name", NETWORKS)
def test_moments_are_those_of_the_inputs(name: str) -> None:
    model, x = network(name)
    other = network(name)[1].flip(0)
    found = activations(netsmith.trace(model, x), [x, (other, None)])
    layers = {n: m for n, m in model.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))}
    if name != "tied":
        assert found.layers.keys() == {f"{n}.weight" for n in layers}
    for layer_name, layer in layers.items():
        if layer_name == "head" and name == "tied":
            layer_name = "embed"  # where the shared weight comes first
        inputs, rows = found.layers[f"{layer_name}.weight"], entering(model, layer, [x, other])
        rows = rows.transpose(0, 1)
        assert inputs.rows == rows.shape[1]
        assert torch.allclose(inputs.mean, rows.mean(1), atol=1e-5)
        assert torch.allclose(inputs.square, rows.square().mean(1), atol=1e-5)
        assert inputs.gram is not None
        assert torch.allclose(inputs.gram, rows.transpose(1, 2) @ rows / rows.shape[1], atol=1e-4)
        assert torch.allclose(inputs.variance(), rows.var(1, correction=0), atol=1e-4)
        assert inputs.free is (layer.bias is not None or name == "residual")
    assert any(m.training for m in model.modules()) is False


def test_the_normalization_behind_counts() -> None:
    model, x = network("residual")
    found = activations(netsmith.trace(model, x), [x]).layers
    norm = model.bn1
    assert torch.allclose(found["conv1.weight"].gain[0], norm.weight / (norm.running_var + norm.eps).sqrt())
    assert torch.equal(found["fc.weight"].gain, torch.ones(1, 5))
    centred, about_zero = found["conv1.weight"].covariance(), found["conv1.weight"].gram
    assert centred is not None and about_zero is not None
    mean = found["conv1.weight"].mean[0]
    assert torch.allclose(centred[0].float(), about_zero[0] - mean.outer(mean), atol=1e-5)


def test_a_layer_used_twice_sees_both_inputs() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(self.a(x))

    model, x = Twice(), torch.randn(3, 4)
    inputs = activations(netsmith.trace(model, x), [x]).layers["a.weight"]
    assert inputs.rows == 6
    assert torch.allclose(inputs.mean[0], torch.cat([x, model.a(x)]).mean(0), atol=1e-6)


def test_wide_layers_keep_squares_alone() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    whole, narrow = activations(wiring, [x]), activations(wiring, [x], most_inputs=12)
    without = activations(wiring, [x], gram=False)
    assert narrow.layers["2.weight"].gram is None and narrow.layers["4.weight"].gram is not None
    assert narrow.layers["2.weight"].covariance() is None
    for name, inputs in whole.layers.items():
        assert without.layers[name].gram is None
        for one in (without, narrow):
            assert torch.allclose(one.layers[name].mean, inputs.mean, atol=1e-6)
            assert torch.allclose(one.layers[name].square, inputs.square, atol=1e-6)


def test_a_stream_is_not_kept() -> None:
    """Batches are made, used and forgotten one by one."""
    alive = 0

    def stream() -> Iterator[torch.Tensor]:
        nonlocal alive
        for i in range(6):
            batch = torch.full((2, 6), float(i))
            alive += 1

            def gone() -> None:
                nonlocal alive
                alive -= 1

            weakref.finalize(batch, gone)
            assert alive <= 3
            yield batch

    model, x = network("mlp")
    inputs = activations(netsmith.trace(model, x), stream()).layers["0.weight"]
    assert inputs.rows == 12 and float(inputs.mean[0, 0]) == pytest.approx(2.5)


def test_rows_are_sampled_by_the_seed() -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model, x)
    one, two, other = (activations(wiring, [x], most_rows=10, seed=s).layers["stem.weight"] for s in (1, 1, 2))
    assert one.rows == 10 and torch.equal(one.mean, two.mean) and not torch.equal(one.mean, other.mean)


def test_only_so_many_examples_and_progress() -> None:
    model, x = network("mlp")
    told: list[tuple[int, int, str]] = []
    found = activations(netsmith.trace(model, x), [x, x, x], most_examples=6, progress=lambda *a: told.append(a))
    assert found.layers["0.weight"].rows == 6
    assert told == [(1, 3, "activations"), (2, 3, "activations")]


# ------------------------------------------------------------------------------------------------------------ padding


class Attentive(nn.Module):
    """torch's attention turns rows round: inside, positions come before examples."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.first = batch_first
        self.embed, self.attention = nn.Linear(6, 8), nn.MultiheadAttention(8, 2, batch_first=batch_first)
        self.conv, self.head = nn.Conv1d(8, 4, 1), nn.Linear(8, 2)

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.embed(values)
        y = x if self.first else x.transpose(0, 1)
        y = self.attention(y, y, y, key_padding_mask=mask == 0, need_weights=False)[0]
        y = y if self.first else y.transpose(0, 1)
        return self.head((x + y)[:, 0]) + self.conv(y.transpose(1, 2)).mean()


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("traced_with", [1, 3])
def test_padding_does_not_count(batch_first: bool, traced_with: int) -> None:
    torch.manual_seed(0)
    model = Attentive(batch_first).eval()
    lengths = torch.tensor([2, 5, 3])
    mask = (torch.arange(5) < lengths[:, None]).long()
    batch = {"values": torch.randn(3, 5, 6), "mask": mask}
    wild = {**batch, "values": torch.where(mask[..., None] > 0, batch["values"], torch.tensor(100.0))}
    wiring = netsmith.trace(model, {key: value[:traced_with] for key, value in batch.items()})
    one, two = (activations(wiring, [b], mask=lambda x: x["mask"]).layers for b in (batch, wild))
    for name in ("embed.weight", "attention.in_proj_weight", "attention.out_proj.weight", "conv.weight"):
        if name in one:
            assert one[name].rows == 10, name
            assert torch.allclose(one[name].mean, two[name].mean, atol=1e-5), name
    assert {"embed.weight", "attention.out_proj.weight", "conv.weight"} <= one.keys()
    assert one["head.weight"].rows == 3  # one row an example: the mask says nothing of it


def test_a_batch_of_nothing_but_padding() -> None:
    model, x = network("attention")
    found = activations(
        netsmith.trace(model, x), [x, x + 100], mask=lambda given: torch.full((2, 5), float(given.max() < 50))
    )
    assert found.layers["embed.weight"].rows == 10
    with pytest.raises(EvidenceError, match=r"the mask leaves no row of the input of embed\.weight"):
        activations(netsmith.trace(model, x), [x], mask=lambda _: torch.zeros(2, 5))


# -------------------------------------------------------------------------------------------------------------- files


def test_saved_and_loaded_they_are_the_same(tmp_path: Path) -> None:
    model, x = network("concatenated")
    wiring = netsmith.trace(model, x)
    found = activations(wiring, [x], most_inputs=100)
    save_activations(found, tmp_path / "a.safetensors")
    again = load_activations(tmp_path / "a.safetensors", wiring)
    assert isinstance(again, Activations) and again.model == found.model and again.layers.keys() == found.layers.keys()
    for name, inputs in found.layers.items():
        other = again.layers[name]
        assert (inputs.name, inputs.rows, inputs.free) == (other.name, other.rows, other.free)
        for part in ("mean", "square", "gain"):
            assert torch.equal(getattr(inputs, part), getattr(other, part))
        assert (other.gram is None) if inputs.gram is None else torch.equal(inputs.gram, other.gram)
    assert b"pickle" not in (tmp_path / "a.safetensors").read_bytes()


def test_activations_of_another_model_are_refused(tmp_path: Path) -> None:
    model, x = network("mlp")
    wiring, file = netsmith.trace(model, x), tmp_path / "a"
    save_activations(activations(wiring, [x]), file)
    with pytest.raises(EvidenceError, match="a: gathered on another model, or on other weights of it; gather them"):
        load_activations(file, netsmith.trace(*network("residual")))
    with torch.no_grad():
        model[2].weight[0, 0] += 1
    with pytest.raises(EvidenceError, match="on other weights of it"):
        load_activations(file, wiring)


def test_files_that_are_none(tmp_path: Path) -> None:
    wiring = netsmith.trace(*network("mlp"))
    with pytest.raises(FileError, match="no complete file of activations"):
        load_activations(tmp_path / "none", wiring)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(FileError, match="no complete file of activations"):
        load_activations(tmp_path / "text", wiring)
    from safetensors.torch import save_file

    save_file({"x": torch.ones(1)}, tmp_path / "weights")
    with pytest.raises(FileError, match="no complete file of activations"):
        load_activations(tmp_path / "weights", wiring)
    save_file({"x": torch.ones(1)}, tmp_path / "later", metadata={"netsmith": '{"version": 2}'})
    with pytest.raises(FileError, match="activations of version 2; this netsmith reads 1"):
        load_activations(tmp_path / "later", wiring)
    found = activations(wiring, [torch.ones(2, 6)])
    with pytest.raises(FileError, match="cannot be written"):
        save_activations(found, tmp_path / "no folder" / "a")


# --------------------------------------------------------------------------------------------------------- the caller


@pytest.mark.parametrize("bad", [False, True])
def test_the_model_is_as_before(bad: bool) -> None:
    model, x = network("residual")
    model.train()
    model.bn2.eval()
    model.fc.weight.grad = torch.ones_like(model.fc.weight)
    values, modes = {n: t.clone() for n, t in model.state_dict().items()}, [m.training for m in model.modules()]
    wiring, state = netsmith.trace(model, x), torch.get_rng_state()
    if bad:
        with pytest.raises(EvidenceError, match="raises on a batch of the data"):
            activations(wiring, [x, x[:, :2]])
    else:
        activations(wiring, [x])
    assert torch.equal(state, torch.get_rng_state())
    assert modes == [m.training for m in model.modules()]
    assert all(torch.equal(values[n], t) for n, t in model.state_dict().items())
    assert torch.equal(model.fc.weight.grad, torch.ones_like(model.fc.weight))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_bad_input() -> None:
    model, x = network("attention")
    wiring = netsmith.trace(model, x)
    with pytest.raises(InputError, match="wiring is a Attention; give what trace"):
        activations(model, [x])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="most_rows=0 must be an int ≥ 1"):
        activations(wiring, [x], most_rows=0)
    with pytest.raises(InputError, match="most_inputs='all' must be an int ≥ 1"):
        activations(wiring, [x], most_inputs="all")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="data is a Tensor; give an iterable of batches"):
        activations(wiring, x)
    with pytest.raises(EvidenceError, match="data is empty"):
        activations(wiring, [])
    with pytest.raises(InputError, match=r"mask gave \(2,\); it must give a tensor \(examples, positions\)"):
        activations(wiring, [x], mask=lambda _: torch.ones(2))
    with pytest.raises(InputError, match="mask gave NoneType"):
        activations(wiring, [x], mask=lambda _: None)  # type: ignore[arg-type, return-value]


def test_inputs_that_overflow_are_named() -> None:
    model, x = network("mlp")
    with torch.no_grad():
        model[0].bias[3] = torch.inf
    with pytest.raises(EvidenceError, match=r"the input of 2\.weight is NaN or infinity on the data"):
        activations(netsmith.trace(model, x), [x])


def test_a_parametrized_weight_is_left_out() -> None:
    model = nn.utils.parametrizations.weight_norm(mlp()[0])
    net = nn.Sequential(model, nn.ReLU(), nn.Linear(16, 3))
    found = activations(netsmith.trace(net, torch.ones(2, 6)), [torch.randn(4, 6)])
    assert found.layers.keys() == {"2.weight"}
