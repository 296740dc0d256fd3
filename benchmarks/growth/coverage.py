"""How many real architectures can be grown without changing their outputs, with no setting per model.

    python benchmarks/growth/coverage.py [--models FILE] [--only REGEX]

Every axis that may be widened (of models above 40 million parameters every fourth) is widened by half, or doubled where
a normalization is taken over it; what could not follow is tried once more at twice its size. Then one block is inserted
where one is offered. The outputs of the grown model are compared with those of the original on random inputs, both with
the random weights that they were made with and every constant tensor made uneven, in float64 and in float32. One process a model, one thread, limits on time and
memory. Results are written after each model, so a run goes on where it stopped; ``report.py`` makes the table.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
from torch import nn  # noqa: E402

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "coverage")]
from builders import build, call, flatten  # noqa: E402
from children import in_child  # noqa: E402

import netsmith  # noqa: E402
from netsmith.errors import NetsmithError  # noqa: E402
from netsmith.plans import Plan, plan_growth  # noqa: E402
from netsmith.plans.sizing import changeable_axes  # noqa: E402
from netsmith.plans.stand_in_values import put_values, uneven_values  # noqa: E402


def widening(model: nn.Module, x: Any) -> Plan:
    """Half as wide again, and double what did not follow."""
    wiring = netsmith.trace(model, x)
    large = sum(p.numel() for p in model.parameters()) > 40e6
    names = changeable_axes(wiring, cut="whole")[::4] if large else ["*"]
    first = plan_growth(wiring, widen=dict.fromkeys(names, 1.5))
    rest = dict.fromkeys(() if large else first.left, 2.0)
    if not rest:
        return first
    grown = netsmith.apply(model, first)
    wiring = netsmith.trace(grown, x)
    rest = {name: factor for name, factor in rest.items() if name in wiring.axis}
    second = plan_growth(wiring, widen=rest) if rest else None
    return second.after(first) if second is not None and second.edits else first


def differences(model: nn.Module, plan: Plan, x: Any, entry: dict[str, Any]) -> dict[str, float]:
    """Largest difference of an output relative to that output's largest value, by precision."""
    found = {}
    for dtype in (torch.float64, torch.float32):
        original = put_values(copy.deepcopy(model), uneven_values(model, dtype))
        grown = netsmith.apply(original, plan).eval()
        try:
            before, after = (_called(each, x, dtype, entry) for each in (original, grown))
        except RuntimeError as error:
            if dtype is torch.float64:  # a forward that insists on float32
                found["float64_not_run"] = str(error).splitlines()[0][:160]
                continue
            raise
        if [(n, t.shape) for n, t in before] != [(n, t.shape) for n, t in after]:
            raise RuntimeError("the outputs have other shapes")
        name = str(dtype).removeprefix("torch.")
        found[name] = max(_relative(a, b) for (_, a), (_, b) in zip(before, after, strict=True))
    return found


def _called(model: nn.Module, x: Any, dtype: torch.dtype, entry: dict[str, Any]) -> list[tuple[str, torch.Tensor]]:
    def cast(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.to(dtype) if value.is_floating_point() else value
        if isinstance(value, dict):
            return {key: cast(item) for key, item in value.items()}
        return type(value)(cast(item) for item in value)

    torch.manual_seed(0)
    with torch.no_grad():
        return [(n, t) for n, t in flatten(call(model, cast(x)), entry.get("out_keys")) if t.is_floating_point()]


def _relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).abs().max() / a.double().abs().max().clamp_min(1e-12)) if a.numel() else 0.0


def attempt(entry: dict[str, Any], tell: Any) -> dict[str, Any]:
    """One model, in the child. ``tell`` leaves what is known for the case that the child dies."""
    record: dict[str, Any] = {"offered": False}
    try:
        torch.manual_seed(0)
        model, x, _ = build(entry)
        model.eval()
        start = time.perf_counter()
        free = [axis for axis in netsmith.trace(model, x).free_axes if any(m.trainable for m in axis.members)]
        plan = widening(model, x)
        record["axes"], record["free_axes"] = sum(len(step.widenings) for step in plan.steps), len(free)
        record["widen_seconds"] = round(time.perf_counter() - start, 1)
        reasons = [why for step in plan.steps for why in step.left.values()]
        record["left"] = sorted(set(reasons))[:4]
        tell({**record, "stage": "compare the widened"})
        if record["axes"]:
            record["widened"] = differences(model, plan, x, entry)
            record["offered"] = True
            before, after = (sum(p.numel() for p in m.parameters()) for m in (model, netsmith.apply(model, plan)))
            record["params"] = round(after / before, 2)
        tell({**record, "stage": "deepen"})
        start = time.perf_counter()
        try:
            deeper = plan_growth(netsmith.trace(model, x), deepen=1)
            record["block"] = deeper.insertions[0].block
        except NetsmithError as error:
            record["no_block"] = str(error)[:160]
        record["deepen_seconds"] = round(time.perf_counter() - start, 1)
        tell({**record, "stage": "compare the deeper"})
        if "block" in record:
            record["deepened"] = differences(model, deeper, x, entry)
            record["offered"] = True
        record["ok"] = record["offered"] and all(_equal(record[k]) for k in ("widened", "deepened") if k in record)
    except Exception as error:
        text = str(error).strip().splitlines()
        record.update(ok=False, reason=f"{type(error).__name__}: {text[0][:300] if text else ''}")
    return record


def _equal(found: dict[str, float]) -> bool:
    return found.get("float64", 0.0) <= 1e-9 and found["float32"] <= 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=HERE.parents[2] / "shared")
    parser.add_argument("--only", default="", help="regular expression on the model's id")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--out", type=Path, default=HERE / "coverage.json")
    options = parser.parse_args()
    models = options.shared / "coverage" / "models.json"
    if not models.is_file():
        sys.exit(f"{models} is absent: say where it is with --shared")
    torch.set_num_threads(1)
    import timm  # noqa: F401
    import torchvision  # noqa: F401
    import transformers  # noqa: F401

    found = json.loads(options.out.read_text()) if options.out.is_file() else {}
    for entry in json.loads(models.read_text())["models"]:
        if not re.search(options.only, entry["id"]) or entry["id"] in found:
            continue
        record = in_child(lambda tell, entry=entry: attempt(entry, tell), options.seconds, options.gigabytes)
        found[entry["id"]] = record
        options.out.write_text(json.dumps(found, indent=1) + "\n")
        said = " ".join(f"{k}={record.get(k)}" for k in ("axes", "free_axes", "widened", "block", "deepened", "reason"))
        print(
            f"{'ok  ' if record['ok'] else 'FAIL'} {entry['id']:<42} {record['wall_seconds']:>6} s {said}", flush=True
        )


if __name__ == "__main__":
    main()
