"""How many real architectures can be grown without changing their outputs, with no setting per model.

    python benchmarks/growth/coverage.py [--shared ../shared] [--only REGEX]

One block is inserted where one is offered; then every axis that may be widened (of models above 40 million parameters
every fourth) is widened by half, or doubled where a normalization is taken over it; where nothing could follow, all are
tried at twice their size. The outputs of the grown model are compared with those of the original on random inputs, with
the random weights that they were made with and every constant tensor made uneven, in float64 and in float32; where
forward itself rounds to float32, once more in float64 without that. One
process a model, one thread, limits on time and memory; the quickest models first. Results are written after each model,
so a run goes on where it stopped; ``report.py`` makes the table.
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
from torch.overrides import TorchFunctionMode  # noqa: E402

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "coverage")]
from builders import build, call, flatten  # noqa: E402
from children import in_child  # noqa: E402

import netsmith  # noqa: E402
from netsmith.errors import NetsmithError  # noqa: E402
from netsmith.plans import Plan, plan_growth  # noqa: E402
from netsmith.plans.sizing import changeable_axes  # noqa: E402
from netsmith.plans.stand_in_values import put_values, uneven_values  # noqa: E402


def growth(model: nn.Module, x: Any, record: dict[str, Any], tell: Any) -> Plan:
    """One more block, and all widths half as large again; or what of it can be. Notes what in the record."""
    wiring = netsmith.trace(model, x)
    deeper: Plan | None = None
    tell({**record, "stage": "deepen"})
    try:
        deeper = plan_growth(wiring, deepen=1)
        record["block"] = deeper.insertions[0].block
        wiring = netsmith.trace(netsmith.apply(model, deeper), x)
    except NetsmithError as error:
        record["no_block"] = str(error)[:160]
    tell({**record, "stage": "widen"})
    names = changeable_axes(wiring, cut="whole")
    record["axes_offered"] = len(names)
    large = sum(p.numel() for p in model.parameters()) > 40e6
    plan = plan_growth(wiring, widen=dict.fromkeys(names[::4] if large else names, 1.5))
    if not plan.edits and not large:
        plan = plan_growth(wiring, widen=dict.fromkeys(names, 2.0))
    record["axes"], record["axes_left"] = len(plan.widenings), len(plan.left)
    record["left"] = sorted(set(plan.left.values()))[:4]
    return plan if deeper is None else plan.after(deeper)


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
        if dtype is torch.float64 and found[name] > 1e-9:  # a forward that rounds to float32 inside
            with _Double():
                before, after = (_called(each, x, dtype, entry) for each in (original, grown))
            found["float64 throughout"] = max(_relative(a, b) for (_, a), (_, b) in zip(before, after, strict=True))
    return found


class _Double(TorchFunctionMode):
    """What forward turns to float32 stays float64 meanwhile (the root mean square of most language models)."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        args = tuple(torch.float64 if each is torch.float32 else each for each in args)
        kwargs = {key: torch.float64 if value is torch.float32 else value for key, value in (kwargs or {}).items()}
        return func(*args, **kwargs)


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
        start = time.process_time()
        plan = growth(model, x, record, tell)
        record["plan_cpu_seconds"] = round(time.process_time() - start, 1)
        record["offered"] = any(step.edits for step in plan.steps)
        tell({**record, "stage": "compare"})
        if record["offered"]:
            record["difference"] = differences(model, plan, x, entry)
            before, after = (sum(p.numel() for p in m.parameters()) for m in (model, netsmith.apply(model, plan)))
            record["params"] = round(after / before, 2)
        record["ok"] = record["offered"] and _equal(record["difference"])
    except Exception as error:
        text = str(error).strip().splitlines()
        record.update(ok=False, reason=f"{type(error).__name__}: {text[0][:300] if text else ''}")
    return record


def _equal(found: dict[str, float]) -> bool:
    double = found.get("float64 throughout", found.get("float64", 0.0))
    return double <= 1e-9 and found["float32"] <= 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=HERE.parents[2] / "shared")
    parser.add_argument("--only", default="", help="regular expression on the model's id")
    parser.add_argument("--seconds", type=float, default=300)
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
    pruned = HERE.parent / "coverage" / "results" / "with_netsmith.json"
    known = json.loads(pruned.read_text()) if pruned.is_file() else {}
    entries = json.loads(models.read_text())["models"]
    for entry in sorted(entries, key=lambda e: known.get(e["id"], {}).get("wall_seconds", 0)):
        if not re.search(options.only, entry["id"]) or entry["id"] in found:
            continue
        record = in_child(lambda tell, entry=entry: attempt(entry, tell), options.seconds, options.gigabytes)
        found[entry["id"]] = record
        options.out.write_text(json.dumps(found, indent=1) + "\n")
        said = " ".join(
            f"{k}={record.get(k)}" for k in ("axes", "axes_offered", "block", "difference", "params", "reason")
        )
        print(
            f"{'ok  ' if record['ok'] else 'FAIL'} {entry['id']:<42} {record['wall_seconds']:>6} s {said}", flush=True
        )


if __name__ == "__main__":
    main()
