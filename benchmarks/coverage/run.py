"""How many real architectures a structural pruner can halve, with no setting per model.

    python benchmarks/coverage/run.py [--pruners with_netsmith with_torch_pruning] [--models FILE] [--only REGEX]

A plug-in is a module with ``prune(model, x, ratio, outputs, info) -> model``. Success: it returns, the outputs have
the original's shapes and are finite, a backward pass works, at most 60 % of the parameters are left, and the plug-in's
own exactness check (``info["check"]``), where it has one, does not fail. One process a model, one thread, limits on
time and memory. Results are written after each model, so a run goes on where it stopped; ``report.py`` makes the table.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
from builders import backward, build, call, flatten, shapes  # noqa: E402
from torch import nn  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))
from children import in_child  # noqa: E402

HERE = Path(__file__).parent


def attempt(entry: dict[str, Any], prune: Any, ratio: float, tell: Any) -> dict[str, Any]:
    """One model, in the child. ``tell`` leaves a note of the stage for the case that the child dies."""
    record: dict[str, Any] = {"ok": False}
    stage = "build"
    try:
        # what a process pays once, imports and first uses, is not what is timed
        mlp = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
        prune(mlp, torch.randn(1, 8), ratio, [mlp[-1]], {})
        torch.manual_seed(0)
        model, x, outputs = build(entry)
        model.eval()
        before_params = sum(p.numel() for p in model.parameters())
        with torch.no_grad():
            before = shapes(call(model, x), entry)
        stage = "prune"
        tell(stage)
        info: dict[str, Any] = {}
        pruned = prune(model, x, ratio, outputs, info).eval()
        check = info.pop("check", None)
        record.update(info)
        record["share"] = round(sum(p.numel() for p in pruned.parameters()) / before_params, 4)
        stage = "forward"
        tell(stage)
        with torch.no_grad():
            out = call(pruned, x)
        if shapes(out, entry) != before:
            raise RuntimeError("an output's shape changed")
        if not all(t.isfinite().all() for _, t in flatten(out, entry.get("out_keys")) if t.is_floating_point()):
            raise RuntimeError("an output is not finite")
        del out
        gc.collect()
        stage = "exactness"
        tell(stage)
        if check is not None:
            record["exactness"] = check()
            if record["exactness"].startswith("failed"):
                raise RuntimeError(record["exactness"])
        stage = "backward"
        tell(stage)
        backward(pruned, x, entry)
        stage = "share"
        if record["share"] > 0.6:
            raise RuntimeError(f"{record['share']:.0%} of the parameters are left")
        record["ok"] = True
    except Exception as error:
        text = str(error).strip().splitlines()
        record.update(stage=stage, reason=f"{type(error).__name__}: {text[0][:300] if text else ''}")
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = HERE.parents[2] / "shared" / "coverage" / "models.json"
    parser.add_argument("--pruners", nargs="+", default=["with_netsmith", "with_torch_pruning"])
    parser.add_argument("--models", type=Path, default=shared)
    parser.add_argument("--only", default="", help="regular expression on the model's id")
    parser.add_argument("--ratio", type=float, default=0.5)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    if not options.models.is_file():
        sys.exit(f"{options.models} is absent: give a list with --models")
    torch.set_num_threads(1)
    import timm  # noqa: F401
    import torchvision  # noqa: F401
    import transformers  # noqa: F401

    entries = json.loads(options.models.read_text())["models"]
    options.out.mkdir(exist_ok=True)
    plugins = {name: importlib.import_module(name).prune for name in options.pruners}
    found = {name: _load(options.out / f"{name}.json") for name in plugins}
    for entry in entries:
        for name, prune in plugins.items():
            if not re.search(options.only, entry["id"]) or entry["id"] in found[name]:
                continue
            record = in_child(
                lambda tell, entry=entry, prune=prune: attempt(
                    entry, prune, options.ratio, lambda stage: tell({"stage": stage})
                ),
                options.seconds,
                options.gigabytes,
            )
            found[name][entry["id"]] = record
            (options.out / f"{name}.json").write_text(json.dumps(found[name], indent=1) + "\n")
            said = f"{record.get('share')} {record.get('seconds')} s {record.get('exactness', '')}"
            print(
                f"{'ok  ' if record['ok'] else 'FAIL'} {name:<20} {entry['id']:<45} {said} {record.get('reason', '')}",
                flush=True,
            )


def _load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


if __name__ == "__main__":
    main()
