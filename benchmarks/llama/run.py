"""A small Llama with 20 to 70 % of its decoder removed, without training.

    python benchmarks/llama/run.py [--shared ../shared/data] [--cache out/llama]

A Llama of six blocks with grouped-query attention, trained here on the characters of tinyshakespeare (a quarter of an
hour on one thread; kept in the cache folder). All methods see the same unlabelled windows of the training text and
remove the same share of the *parameters of the decoder blocks*; nothing is trained afterwards. Judged by the perplexity
per character on the last tenth of the text, which nobody chose anything on. Baselines: magnitude, Wanda-sp, FLAP with
its bias compensation, SliceGPT. netsmith: uniform and allocated widths, with and without the residual stream. Writes
results.json and results.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Iterator
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
import transformers  # noqa: E402
from huggingface_hub.errors import StrictDataclassError  # noqa: E402
from language import (  # noqa: E402
    CONTEXT,
    Text,
    build,
    divergence,
    perplexity,
    predictions,
    read,
    trained,
    whole_windows,
    windows,
)
from methods import Methods, decoder_params  # noqa: E402
from report import page  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from transformers import LlamaForCausalLM  # noqa: E402

import netsmith  # noqa: E402
from netsmith.costs import latencies  # noqa: E402
from netsmith.plans import Plan  # noqa: E402

HERE = Path(__file__).resolve().parent
SHARES = (0.2, 0.3, 0.5, 0.7)


@torch.no_grad()
def cache_agrees(model: nn.Module, prompt: Tensor) -> bool:
    """Whether 50 greedy characters are the same with and without a key-value cache."""
    with_, without = (
        model.generate(prompt, max_new_tokens=50, do_sample=False, use_cache=use, pad_token_id=0)
        for use in (True, False)
    )
    return torch.equal(with_, without)


@torch.no_grad()
def reloads(model: nn.Module, plan: Plan | None, x: Tensor, classes: int) -> str:
    """How the model comes back from disk with the same outputs."""
    wanted, ways = model(x).logits, []
    with tempfile.TemporaryDirectory() as folder:
        try:
            model.save_pretrained(Path(folder) / "a")
            again = LlamaForCausalLM.from_pretrained(Path(folder) / "a").eval()
            if torch.equal(again(x).logits, wanted):
                ways.append("from_pretrained")
        except (RuntimeError, StrictDataclassError) as error:  # widths that its configuration cannot say
            print("  from_pretrained:", str(error.__cause__ or error).strip().splitlines()[0][:120])
        if plan is not None:
            netsmith.save(model, Path(folder) / "b", plan=plan)
            again = netsmith.load(Path(folder) / "b", lambda: build(classes))
            if torch.equal(again(x).logits, wanted):
                ways.append("netsmith.load")
    return " and ".join(ways) or "no"


def rows_of(
    methods: Methods, text: Text, names: list[str], shares: list[float]
) -> Iterator[tuple[dict[str, Any], nn.Module]]:
    example = {"input_ids": methods.data[0]["input_ids"][:1], "use_cache": False}
    whole = netsmith.measure(methods.model, example)
    prompt = text.test[: CONTEXT // 2][None]
    held_out = whole_windows(text.test, every=3)
    original = predictions(methods.model, held_out)
    table = methods.table()
    for share in shares:
        for name in names:
            start = time.perf_counter()
            small, plan = table[name](share)
            seconds = time.perf_counter() - start
            cost = netsmith.measure(small, example)
            predicted = predictions(small, held_out)
            row = {
                "method": name,
                "removed": share,
                "perplexity": round(perplexity(predicted, held_out), 3),
                "divergence": round(divergence(original, predicted), 4),
                "decoder_params_share": round(decoder_params(small) / methods.whole, 4),
                "params_share": round(cost.params / whole.params, 4),
                "macs_share": round(cost.macs / whole.macs, 4),
                "seconds": round(seconds, 1),
                "cache_agrees": cache_agrees(small, prompt),
                "reloads": reloads(small, plan, example["input_ids"], len(text.alphabet)),
            }
            print(row, flush=True)
            yield row, small


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=HERE.parents[1] / "out" / "llama")
    parser.add_argument("--windows", type=int, default=256, help="of 128 characters, without labels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", default="*", help="pattern of names; rows of the others are kept as they are")
    parser.add_argument("--shares", type=float, nargs="+", default=list(SHARES), help="likewise")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    text = read(options.shared / "text" / "tinyshakespeare.txt")
    model = trained(text, options.cache, options.seed)
    calibration = windows(text.train, options.windows, seed=10_000 + options.seed)
    held_out = whole_windows(text.test, every=3)
    methods = Methods(model, [{"input_ids": part, "use_cache": False} for part in calibration.split(16)])
    names = [name for name in methods.table() if fnmatchcase(name, options.methods)]
    everything = len(names) * len(options.shares) == len(methods.table()) * len(SHARES)
    found: dict[str, Any] = {} if everything else json.loads((HERE / "results.json").read_text())
    if any(name.startswith("netsmith") for name in names):
        found["curves_seconds"] = round(methods.measure_curves(), 1)
        print(methods.curves, flush=True)
    rows, models = zip(*rows_of(methods, text, names, options.shares), strict=True)
    times = latencies([model, *models], methods.data[0], rounds=11, warm_up=1)
    tokens = methods.data[0]["input_ids"].numel()
    for row, ms in zip(rows, times[1:], strict=True):
        row |= {"tokens_per_second": round(tokens / ms * 1e3), "speed_up": round(times[0] / ms, 3)}
    kept = [row for row in found.get("rows", ()) if row["method"] not in names or row["removed"] not in options.shares]
    order = list(methods.table())
    found |= {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {options.threads} of {os.cpu_count()} cores, torch {torch.__version__}, "
        f"transformers {transformers.__version__}",
        "seed": options.seed,
        "windows": options.windows,
        "decoder_params": methods.whole,
        "perplexity": round(perplexity(predictions(model, held_out), held_out), 3),
        "tokens_per_second": round(tokens / times[0] * 1e3),
        "rows": sorted([*kept, *rows], key=lambda row: (row["removed"], order.index(row["method"]))),
    }
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "results.md").write_text(page(found))


if __name__ == "__main__":
    main()
