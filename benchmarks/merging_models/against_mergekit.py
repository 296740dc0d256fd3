"""The same merges as mergekit on the same checkpoints: values, wall time and peak memory side by side.

    python benchmarks/merging_models/against_mergekit.py --mergekit VENV/bin/mergekit-yaml --scratch FOLDER [--rounds 1]

Makes a Llama checkpoint of 1.1 billion parameters in bfloat16 (2.2 GB in three shards) and two that were moved a little
from it, and merges them by the same recipes with netsmith and with mergekit, one process a merge, in turns. Peak memory
is the child's largest resident set. Values are compared bit pattern by bit pattern: steps of bfloat16 between the two.
Needs 12 GB in the scratch folder, which is emptied afterwards. `--layers 2 --hidden 256` makes a small one. Writes the
"mergekit" part of results.json after every method; "mergekit, N layers" when there are not 22 of them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from report import keep
from safetensors.torch import save_file

from netsmith.combining.checkpoint_folder import Reader, open_checkpoint

RELATIVE = 2**-7  # one step of bfloat16, relative to the value
ABSOLUTE = 2**-7 * 0.01  # and one step of the largest differences from the base: mergekit rounds these, and their sums
PAIR = (
    "  - model: {a}\n    parameters: {{weight: {wa}{more}}}\n  - model: {b}\n    parameters: {{weight: {wb}{more}}}\n"
)
RECIPES = {
    "linear": "merge_method: linear\nmodels:\n" + PAIR.format(a="A", b="B", wa=0.6, wb=0.4, more=""),
    "slerp": "merge_method: slerp\nbase_model: A\nmodels:\n  - model: A\n  - model: B\n"
    "parameters:\n  t:\n    - {filter: self_attn, value: [0, 0.5, 0.3, 0.7, 1]}\n    - {value: 0.5}\n",
    "task_arithmetic": "merge_method: task_arithmetic\nbase_model: BASE\nmodels:\n"
    + PAIR.format(a="A", b="B", wa=0.7, wb=0.5, more=""),
    "ties": "merge_method: ties\nbase_model: BASE\nmodels:\n"
    + PAIR.format(a="A", b="B", wa=1.0, wb=1.0, more=", density: 0.5"),
}


def shapes(layers: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """TinyLlama's tensors, at any size."""
    inner, keys, vocabulary = hidden * 11 // 4, hidden // 8, 32000 * hidden // 2048
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, hidden)}
    for layer in range(layers):
        at = f"model.layers.{layer}."
        found |= {
            f"{at}self_attn.q_proj.weight": (hidden, hidden),
            f"{at}self_attn.k_proj.weight": (keys, hidden),
            f"{at}self_attn.v_proj.weight": (keys, hidden),
            f"{at}self_attn.o_proj.weight": (hidden, hidden),
            f"{at}mlp.gate_proj.weight": (inner, hidden),
            f"{at}mlp.up_proj.weight": (inner, hidden),
            f"{at}mlp.down_proj.weight": (hidden, inner),
            f"{at}input_layernorm.weight": (hidden,),
            f"{at}post_attention_layernorm.weight": (hidden,),
        }
    return found | {"model.norm.weight": (hidden,), "lm_head.weight": (vocabulary, hidden)}


def generate(folder: Path, layers: int, hidden: int, moved: int | None) -> None:
    """A checkpoint in three shards: the base, or the base moved by noise of a tenth of its size."""
    folder.mkdir(parents=True)
    wanted = shapes(layers, hidden)
    total = sum(torch.Size(s).numel() for s in wanted.values())
    shards: list[dict[str, torch.Tensor]] = [{}]
    places, size = {}, 0

    def flush() -> None:
        save_file(shards[-1], folder / f"model-{len(shards):05d}-of-00003.safetensors", metadata={"format": "pt"})
        shards[-1] = {}

    for number, (name, shape) in enumerate(wanted.items()):
        if size > total * len(shards) / 3:
            flush()
            shards.append({})
        value = torch.randn(shape, generator=torch.Generator().manual_seed(number)).mul_(0.02)
        if moved is not None:
            noise = torch.Generator().manual_seed(1000 * moved + number)
            value = value.bfloat16().float().add_(torch.randn(shape, generator=noise), alpha=0.002)
        shards[-1][name] = value.bfloat16()
        places[name] = f"model-{len(shards):05d}-of-00003.safetensors"
        size += torch.Size(shape).numel()
    flush()
    index = {"metadata": {"total_size": 2 * total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": hidden * 11 // 4,
        "num_hidden_layers": layers,
        "num_attention_heads": max(hidden // 64, 8),
        "num_key_value_heads": max(hidden // 64, 8) // 8,
        "head_dim": hidden // max(hidden // 64, 8),
        "vocab_size": 32000 * hidden // 2048,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(config))


def resident(pid: int) -> int:
    """Largest resident set of a process so far, in kB: not ru_maxrss, which a child inherits from its parent."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def child(command: list[str], folder: Path) -> dict[str, float]:
    """Wall time and peak memory of a process."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    with (folder / "log.txt").open("w") as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, env=environment)
        peak = 0
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, resident(process.pid))
            time.sleep(0.02)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{(folder / 'log.txt').read_text()[-3000:]}")
    busy = usage.ru_utime + usage.ru_stime
    return {"seconds": round(seconds, 1), "cpu_seconds": round(busy, 1), "peak_MB": round(peak / 1024)}


class Ties:
    """Where TIES has a choice: elements whose difference from the base is exactly as large as the smallest that stays.

    mergekit takes those that its sort, which keeps no order among equals, puts first; netsmith the first in the tensor.
    """

    def __init__(self, folder: Path, density: float) -> None:
        self.tensors = [open_checkpoint(folder / name).tensors for name in ("BASE", "A", "B")]
        self.readers = [Reader() for _ in self.tensors]
        self.density, self.known = density, ("", [0, 0])

    def bits(self, name: str, first: int, last: int) -> list[torch.Tensor]:
        base, *others = (r.read(t[name], first, last) for r, t in zip(self.readers, self.tensors, strict=True))
        return [(x - base).abs().view(torch.int16) for x in others]

    def choice(self, name: str, first: int, last: int) -> torch.Tensor:
        if self.known[0] != name:
            total = self.tensors[0][name].numel
            counts = [torch.zeros(1 << 15, dtype=torch.int64) for _ in range(2)]
            for start in range(0, total, 1 << 22):
                for count, bits in zip(counts, self.bits(name, start, min(start + (1 << 22), total)), strict=True):
                    count += torch.bincount(bits, minlength=1 << 15)
            kept = max(1, int(self.density * total))
            self.known = name, [int((c.flip(0).cumsum(0).flip(0) >= kept).nonzero().max()) for c in counts]
        ours, theirs = self.bits(name, first, last)
        return (ours == self.known[1][0]) | (theirs == self.known[1][1])


def difference(ours: Path, theirs: Path, ties: Ties | None) -> dict[str, Any]:
    """How many elements differ, by more than one step of bfloat16, and by more than the tolerance."""
    one, two = open_checkpoint(ours).tensors, open_checkpoint(theirs).tensors
    assert one.keys() == two.keys()
    readers = Reader(), Reader()
    beyond, free, several, differing, count, largest = 0, 0, 0, 0, 0, 0.0
    for name, stored in one.items():
        assert stored.dtype == two[name].dtype == torch.bfloat16
        assert stored.shape == two[name].shape
        for first in range(0, stored.numel, 1 << 22):
            last = min(first + (1 << 22), stored.numel)
            x, y = (r.read(s, first, last) for r, s in zip(readers, (stored, two[name]), strict=True))
            steps = (ordered(x) - ordered(y)).abs()
            differing += int((steps > 0).sum())
            several += int((steps > 1).sum())
            gap, size = (x.float() - y.float()).abs(), y.float().abs()
            wrong = gap > RELATIVE * size + ABSOLUTE
            if ties is not None and bool(wrong.any()):
                choice = ties.choice(name, first, last)
                free += int((wrong & choice).sum())
                wrong &= ~choice
            beyond += int(wrong.sum())
            largest = max(largest, float(gap.max()))
            count += len(x)
    return {
        "elements": count,
        "differing": differing,
        "by_more_than_one_step": several,
        "beyond_tolerance": beyond,
        "beyond_tolerance_but_a_tie_at_the_threshold": free,
        "largest_difference": largest,
    }


def ordered(x: torch.Tensor) -> torch.Tensor:
    """Integers in the order of the bfloat16 values, neighbours one apart."""
    bits = x.contiguous().view(torch.int16).int()
    return torch.where(bits >= 0, bits, -(bits & 0x7FFF))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mergekit", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--hidden", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    options = parser.parse_args()
    folder = options.scratch / "merging"
    shutil.rmtree(folder, ignore_errors=True)
    for name, moved in (("BASE", None), ("A", 1), ("B", 2)):
        generate(folder / name, options.layers, options.hidden, moved)
    load = [round(each, 1) for each in os.getloadavg()]
    start = time.perf_counter()
    shutil.copytree(folder / "A", folder / "copy")
    copying = round(time.perf_counter() - start, 1)
    shutil.rmtree(folder / "copy")
    found: dict[str, Any] = {
        "parameters": sum(torch.Size(s).numel() for s in shapes(options.layers, options.hidden).values())
    }
    found |= {
        "copying_seconds": copying,
        "load_at_start": load,
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "merges": {},
    }
    for recipe in options.recipes:
        (folder / "recipe.yaml").write_text(RECIPES[recipe] + "dtype: bfloat16\n")
        rows: dict[str, list[dict[str, float]]] = {"netsmith": [], "mergekit": []}
        for _ in range(options.rounds):
            shutil.rmtree(folder / "ours", ignore_errors=True)
            shutil.rmtree(folder / "theirs", ignore_errors=True)
            ours = [
                sys.executable,
                "-m",
                "netsmith",
                "merge-models",
                "recipe.yaml",
                "--out",
                "ours",
                "--shard-size",
                "800MB",
            ]
            theirs = [str(options.mergekit), "recipe.yaml", "theirs", "--out-shard-size", "800M"]
            rows["netsmith"].append(child(ours, folder))
            rows["mergekit"].append(child([*theirs, "--no-copy-tokenizer", "--no-write-model-card"], folder))
        best = {who: min(runs, key=lambda run: run["seconds"]) for who, runs in rows.items()}
        ties = Ties(folder, 0.5) if recipe == "ties" else None
        found["merges"][recipe] = {**best, "values": difference(folder / "ours", folder / "theirs", ties)}
        times = best["mergekit"]["seconds"] / best["netsmith"]["seconds"]
        found["merges"][recipe]["times_faster"] = round(times, 1)
        print(recipe, json.dumps(found["merges"][recipe]), flush=True)
        keep("mergekit" if options.layers == 22 else f"mergekit, {options.layers} layers", found)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
