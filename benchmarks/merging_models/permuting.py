"""On how many real architectures the units can be reordered and the outputs stay.

    python benchmarks/merging_models/permuting.py [--models ../shared/coverage/models.json] [--only REGEX]

Every free axis of each network is put in a random order at once, in float32. All parameters get a little noise first,
so that no two units are alike. Success: outputs agree within 1e-5 of the largest magnitude of each, and at least one
axis moved. Axes that `movable` found to have a place (rotary pairs, say) stay and are counted. One process a model,
with limits on time and memory; a run goes on where it stopped. Writes the "permuting" part of results.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
from report import HERE, keep  # noqa: E402

sys.path += [str(HERE.parent), str(HERE.parent / "coverage")]
from builders import build, call, flatten  # noqa: E402
from children import in_child  # noqa: E402

from netsmith.combining.permutations import movable  # noqa: E402
from netsmith.surgery import permute  # noqa: E402
from netsmith.wiring import trace  # noqa: E402

TOLERANCE = 1e-5


def attempt(entry: dict[str, Any], tell: Any) -> dict[str, Any]:
    """One model, in the child."""
    record: dict[str, Any] = {"ok": False}
    stage = "build"
    try:
        torch.manual_seed(0)
        model, x, _ = build(entry)
        model.eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(
                    torch.randn_like(parameter) * (0.02 * parameter.std() if parameter.numel() > 1 else 0.02)
                )
                if parameter.ndim <= 1:  # gains and biases, all alike in a fresh network
                    parameter.add_(torch.randn_like(parameter), alpha=0.05)
        stage = "trace"
        tell({"ok": False, "stage": stage})
        wiring = trace(model, x)
        stage = "permute"
        tell({"ok": False, "stage": stage})
        found = movable(wiring, tolerance=TOLERANCE)
        rng = random.Random(1)
        orders = {name: rng.sample(range(wiring.axis[name].size), wiring.axis[name].size) for name in found.axes}
        with torch.no_grad():
            pairs = [flatten(call(m, x), entry.get("out_keys")) for m in (model, permute(model, wiring, orders))]
        errors = [
            float((a - b).abs().max()) / max(float(a.abs().max()), 1e-12)
            for (_, a), (_, b) in zip(*pairs, strict=True)
            if a.is_floating_point() and a.numel()
        ]
        on_axes = {m.tensor for name in found.axes for m in wiring.axis[name].members}
        counts = {n: wiring.tensors[n].numel() for n in wiring.parameter_names()}
        record |= {
            "axes": len(found.axes),
            "left": len(found.left),
            "free": len([axis for axis in wiring.free_axes if axis.size > 1]),
            "share_of_parameters": round(sum(n for t, n in counts.items() if t in on_axes) / sum(counts.values()), 3),
            "error": max(errors),
            "reasons": sorted(set(found.left.values())),
        }
        if not found.axes:
            raise RuntimeError("no axis moved")
        if not max(errors) <= TOLERANCE:
            raise RuntimeError(f"outputs differ by {max(errors):.2g}")
        record["ok"] = True
    except Exception as error:
        text = str(error).strip().splitlines()
        record |= {"stage": stage, "reason": f"{type(error).__name__}: {text[0][:200] if text else ''}"}
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = HERE.parents[2] / "shared" / "coverage" / "models.json"
    parser.add_argument("--models", type=Path, default=shared)
    parser.add_argument("--only", default="", help="regular expression on the model's id")
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--gigabytes", type=float, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    import timm  # noqa: F401
    import torchvision  # noqa: F401
    import transformers  # noqa: F401

    path = HERE / "results.json"
    found = json.loads(path.read_text()).get("permuting", {}).get("models", {}) if path.is_file() else {}
    entries = json.loads(options.models.read_text())["models"]
    for entry in entries:
        if entry["id"] in found or not re.search(options.only, entry["id"]):
            continue
        record = in_child(lambda tell, entry=entry: attempt(entry, tell), options.seconds, options.gigabytes)
        found[entry["id"]] = record
        passed = sum(each["ok"] for each in found.values())
        keep("permuting", {"of": len(entries), "tried": len(found), "passed": passed, "models": found})
        print("ok  " if record["ok"] else "FAIL", entry["id"], json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
