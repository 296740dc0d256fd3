"""How long it takes to read and plan language models of any size, and how much memory.

    python benchmarks/scale/run.py

Llama configurations on ``meta``: no weights in memory. One process a size, one thread: seconds of trace and of
plan_removal(keep=0.5), and the most memory that the process held. The same for stacks of 8 to 128 layers of one width:
the time should grow linearly in the number of calls. Writes results.json and results.md.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
import warnings
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import torch  # noqa: E402
from children import Tell, in_child  # noqa: E402

LLAMA_8B = {"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_hidden_layers": 32}
LLAMA_70B = {"hidden_size": 8192, "intermediate_size": 28672, "num_attention_heads": 64, "num_hidden_layers": 80}
SMALL = {"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 8}
MODELS = {
    "Llama-3-8B": LLAMA_8B,
    "Llama-3-70B": LLAMA_70B,
    **{f"{n} layers of width 256": SMALL | {"num_hidden_layers": n} for n in (8, 16, 32, 64, 128)},
}
LIMITS = {"Llama-3-8B": (30, 2), "Llama-3-70B": (120, 3)}


def attempt(sizes: dict[str, int], tell: Tell) -> dict[str, Any]:
    from transformers import LlamaConfig, LlamaForCausalLM

    from netsmith import plan_removal, trace

    vocabulary = 128_256 if sizes["hidden_size"] > 256 else 1000
    config = LlamaConfig(**sizes, vocab_size=vocabulary, num_key_value_heads=8, rms_norm_eps=1e-5, use_cache=False)
    with torch.device("meta"):
        model = LlamaForCausalLM(config).eval()
        tokens = torch.zeros(1, 16, dtype=torch.long)
    start = time.perf_counter()
    wiring = trace(model, {"input_ids": tokens})
    traced = time.perf_counter()
    plan = plan_removal(wiring, keep=0.5, score=lambda axis, weights: torch.arange(axis.size).float())
    planned = time.perf_counter()
    return {
        "ok": True,
        "billions": round(sum(p.numel() for p in model.parameters()) / 1e9, 2),
        "calls": len(wiring.calls),
        "edits": len(plan.edits),
        "trace_seconds": round(traced - start, 2),
        "plan_seconds": round(planned - traced, 2),
        "gigabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def main() -> None:
    torch.set_num_threads(1)
    found = {}
    for name, sizes in MODELS.items():
        found[name] = in_child(lambda tell, sizes=sizes: attempt(sizes, tell), 300, 10)
        print(name, found[name], flush=True)
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    lines = [
        "# Reading and planning language models on `meta`",
        "",
        f"{date.today().isoformat()}, {platform.machine()}, {os.cpu_count()} cores (one thread), torch "
        f"{torch.__version__}. Made by `run.py`.",
        "",
        "| configuration | parameters, 10⁹ | calls | edits | trace, s | plan, s | peak memory, GB | limit |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, r in found.items():
        limit = "{} s, {} GB".format(*LIMITS[name]) if name in LIMITS else ""
        lines.append(
            f"| {name} | {r.get('billions')} | {r.get('calls')} | {r.get('edits')} | {r.get('trace_seconds')} | "
            f"{r.get('plan_seconds')} | {r.get('gigabytes')} | {limit} |"
        )
    (HERE / "results.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
