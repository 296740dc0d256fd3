"""Merging folders: values, shards, interruption, disagreements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from checkpoint_folders import read, tensors, write
from netsmith.combining import average, merge_checkpoints, slerp, ties
from netsmith.combining.chunks import CHUNK
from netsmith.errors import FileError, InputError, ModelError


def pair(folder: Path, **options: Any) -> tuple[str, str, str]:
    return tuple(write(folder / n, tensors(s, **options)) for n, s in (("base", None), ("a", 1), ("b", 2)))  # type: ignore[return-value]


def recipe(method: str, base: str | None, *models: str, **parameters: Any) -> dict[str, Any]:
    each = [{"model": m, "parameters": {"weight": 1.0} if method != "slerp" else {}} for m in models]
    return {"merge_method": method, "models": each, "parameters": parameters, **({"base_model": base} if base else {})}


def test_linear_ties_and_slerp_are_those_of_tensors(tmp_path: Path) -> None:
    base, a, b = pair(tmp_path)
    ours = [tensors(s) for s in (None, 1, 2)]
    merge_checkpoints(recipe("linear", None, a, b), tmp_path / "linear")
    merge_checkpoints(recipe("ties", base, a, b, density=0.5), tmp_path / "ties")
    merge_checkpoints(recipe("slerp", a, b, t=0.3), tmp_path / "slerp")
    for name in ours[0]:
        assert torch.equal(read(tmp_path / "linear")[name], average([ours[1][name], ours[2][name]]))
        assert torch.equal(read(tmp_path / "ties")[name], ties(ours[0][name], [t[name] for t in ours[1:]], density=0.5))
        assert torch.equal(read(tmp_path / "slerp")[name], slerp(ours[1][name], ours[2][name], 0.3))


def test_shards_have_an_index_and_the_rest_comes_along(tmp_path: Path) -> None:
    _, a, b = pair(tmp_path)
    found = merge_checkpoints(recipe("linear", None, a, b), tmp_path / "out", shard_bytes=500)
    assert len(found.shards) > 2
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == tensors(None).keys()
    assert index["metadata"]["total_size"] == found.bytes == sum(t.nbytes for t in tensors(None).values())
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        *found.shards,
        "model.safetensors.index.json",
        "config.json",
        "tokenizer.json",
        "merge_recipe.json",
    }


def test_a_tensor_of_several_chunks(tmp_path: Path) -> None:
    big = {"w": torch.randn(CHUNK + 1000).bfloat16(), "v": torch.randn(3)}
    a, b = write(tmp_path / "a", big), write(tmp_path / "b", {n: t + 1 for n, t in big.items()})
    merge_checkpoints(recipe("linear", None, a, b), tmp_path / "out")
    out = read(tmp_path / "out")
    assert torch.equal(out["w"], average([big["w"], big["w"] + 1]))
    assert out["v"].dtype == torch.float32


@pytest.mark.parametrize("method", ["linear", "ties", "dare_ties"])
def test_threads_change_nothing_and_are_given_back(tmp_path: Path, method: str) -> None:
    base, a, b = pair(tmp_path)
    wanted = recipe(method, None if method == "linear" else base, a, b)
    if method != "linear":
        wanted["parameters"] = {"density": 0.5}
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            merge_checkpoints(wanted, tmp_path / f"out{threads}")
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    one, three = (tmp_path / f"out{threads}" / "model.safetensors" for threads in (1, 3))
    assert one.read_bytes() == three.read_bytes()


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    _, a, b = pair(tmp_path)
    seen: list[str] = []

    def stop(done: int, total: int, name: str) -> None:
        seen.append(name)
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge_checkpoints(recipe("linear", None, a, b), tmp_path / "out", shard_bytes=400, progress=stop)
    assert not (tmp_path / "out").exists()
    found = merge_checkpoints(recipe("linear", None, a, b), tmp_path / "out", shard_bytes=400)
    assert found.kept
    merge_checkpoints(recipe("linear", None, a, b), tmp_path / "whole")
    whole, out = read(tmp_path / "whole"), read(tmp_path / "out")
    assert all(torch.equal(out[name], whole[name]) for name in whole)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("spoil", ["damage", "recipe", "journal"])
def test_what_no_longer_agrees_is_written_again(tmp_path: Path, spoil: str) -> None:
    _, a, b = pair(tmp_path)

    def stop(done: int, total: int, name: str) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge_checkpoints(recipe("linear", None, a, b), tmp_path / "out", shard_bytes=400, progress=stop)
    partial = tmp_path / ".out.partial"
    shards = sorted(partial.glob("*.safetensors"))
    wanted = recipe("linear", None, a, b)
    if spoil == "damage":
        for shard in shards:
            content = bytearray(shard.read_bytes())
            content[-1] ^= 255
            shard.write_bytes(content)
    elif spoil == "journal":
        (partial / "journal.json").write_text('{"identity": 3')
    else:
        wanted["parameters"] = {"normalize": False}
    found = merge_checkpoints(wanted, tmp_path / "out", shard_bytes=400)
    assert found.kept == ()


def test_layers_are_stacked(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", tensors(1), layer_types=["x", "y", "z"]), write(tmp_path / "b", tensors(2))
    slices = [
        {"sources": [{"model": a, "layer_range": [0, 2]}]},
        {"sources": [{"model": b, "layer_range": [1, 3], "parameters": {"scale": [{"filter": "mlp", "value": 2.0}]}}]},
    ]
    merge_checkpoints({"merge_method": "passthrough", "slices": slices}, tmp_path / "out")
    out, first, second = read(tmp_path / "out"), tensors(1), tensors(2)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config == {"num_hidden_layers": 4, "layer_types": ["x", "y", "y", "z"]}
    assert len([n for n in out if ".layers." in n]) == 8
    assert torch.equal(out["model.layers.1.mlp.weight"], first["model.layers.1.mlp.weight"])
    assert torch.equal(out["model.layers.2.mlp.weight"], 2 * second["model.layers.1.mlp.weight"])
    assert torch.equal(out["model.layers.3.norm.weight"], second["model.layers.2.norm.weight"])
    assert torch.equal(out["model.embed_tokens.weight"], first["model.embed_tokens.weight"])
    assert torch.equal(out["lm_head.weight"], second["lm_head.weight"])


def test_curves_and_filters(tmp_path: Path) -> None:
    _, a, b = pair(tmp_path, dtype=torch.float32)
    t = [{"filter": "norm", "value": 0.0}, {"value": [0.0, 1.0]}]
    merge_checkpoints(recipe("slerp", a, a, b, t=t), tmp_path / "out")
    out, first, second = read(tmp_path / "out"), tensors(1, dtype=torch.float32), tensors(2, dtype=torch.float32)
    for name in ("model.layers.2.norm.weight", "model.norm.weight", "model.layers.0.mlp.weight", "lm_head.weight"):
        assert torch.allclose(out[name], first[name], atol=1e-6)
    assert torch.allclose(out["model.layers.2.mlp.weight"], second["model.layers.2.mlp.weight"], atol=1e-6)


def test_dtype_of_the_recipe(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", tensors(1, dtype=torch.float32)), write(tmp_path / "b", tensors(2))
    with pytest.raises(ModelError, match="name a dtype in the recipe"):
        merge_checkpoints(recipe("linear", None, a, b), tmp_path / "out")
    merge_checkpoints({**recipe("linear", None, a, b), "dtype": "float16"}, tmp_path / "out")
    assert {t.dtype for t in read(tmp_path / "out").values()} == {torch.float16}


def test_integers_come_from_the_first_and_disagreements_are_named(tmp_path: Path) -> None:
    a = write(tmp_path / "a", {"w": torch.ones(2), "n": torch.tensor([1, 2])}, vocab_size=3)
    b = write(tmp_path / "b", {"w": torch.zeros(2), "n": torch.tensor([5, 6])}, vocab_size=4)
    Path(b, "tokenizer.json").write_text('{"x": 1}')
    found = merge_checkpoints(recipe("linear", None, a, b), tmp_path / "out")
    assert read(tmp_path / "out")["n"].tolist() == [1, 2]
    notes = "\n".join(found.notes)
    assert "vocab_size is 4" in notes
    assert "tokenizer.json" in notes
    assert "integer" in notes
    with pytest.raises(ModelError, match="union"):
        merge_checkpoints({**recipe("linear", None, a, b), "tokenizer_source": "union"}, tmp_path / "other")
    merge_checkpoints({**recipe("linear", None, a, b), "tokenizer_source": b}, tmp_path / "third")
    assert (tmp_path / "third" / "tokenizer.json").read_text() == '{"x": 1}'


def test_all_disagreements_at_once_and_nothing_written(tmp_path: Path) -> None:
    own = tensors(1)
    other = {**tensors(2), "extra": torch.ones(1)}
    other["lm_head.weight"] = torch.ones(3, 8).bfloat16()
    del other["model.norm.weight"]
    a, b = write(tmp_path / "a", own), write(tmp_path / "b", other)
    with pytest.raises(ModelError) as caught:
        merge_checkpoints(recipe("linear", None, a, b), tmp_path / "out")
    for words in ("3 disagreements", "lm_head.weight: (20, 8)", "model.norm.weight: not in", "extra: in"):
        assert words in str(caught.value)
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b"}


def test_something_in_the_way(tmp_path: Path) -> None:
    _, a, b = pair(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(FileError, match="nothing is overwritten"):
        merge_checkpoints(recipe("linear", None, a, b), tmp_path / "out")


def test_wrong_numbers_of_models(tmp_path: Path) -> None:
    base, a, b = pair(tmp_path)
    with pytest.raises(InputError, match="slerp takes 1 model beside the base_model, not 2"):
        merge_checkpoints(recipe("slerp", base, a, b, t=0.5), tmp_path / "out")
    with pytest.raises(InputError, match="model_stock takes at least 2 models? beside the base_model"):
        bare = {"merge_method": "model_stock", "base_model": base, "models": [{"model": a}]}
        merge_checkpoints(bare, tmp_path / "out")
