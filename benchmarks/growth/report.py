"""Makes results.md from coverage.json and training.json."""

from __future__ import annotations

import json
import os
import platform
import statistics
from datetime import date
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent


def main() -> None:
    lines = ["# Growing without changing the function", ""]
    for name, section in (("coverage", _coverage), ("training", _training)):
        path = HERE / f"{name}.json"
        if path.is_file():
            lines += section(json.loads(path.read_text()))
    (HERE / "results.md").write_text("\n".join(lines).rstrip() + "\n")


def _coverage(found: dict[str, dict[str, Any]]) -> list[str]:
    offered = {model: r for model, r in found.items() if r.get("offered")}
    equal = [model for model, r in offered.items() if r["ok"]]
    deeper = [model for model, r in offered.items() if r.get("block")]
    widths = sum(r["axes"] for r in offered.values()), sum(r["axes_offered"] for r in offered.values())
    machine = f"{platform.machine()}, {os.cpu_count()} cores (one thread a model), torch {torch.__version__}"
    lines = [
        "## Coverage",
        "",
        f"{date.today().isoformat()}, {machine}. What is grown, and what counts as equal, is in `coverage.py`; the "
        "list of 76 is `../shared/coverage/models.json`.",
        "",
        f"* {len(found)} of the list were run; {len(offered)} could be grown, {len(equal)} of these with equal outputs",
        f"* {widths[0]} of {widths[1]} axes widened (of models above 40 million parameters every fourth was asked for)",
        f"* {len(deeper)} models offer a place for a block that is an identity at first",
        f"* largest difference in float64: {max((_double(r) for r in offered.values()), default=0):.1e}, in float32: "
        f"{max((r['difference']['float32'] for r in offered.values() if 'difference' in r), default=0):.1e}",
        "",
        "Forwards that round to float32 inside (the root mean square of most language models) are compared in float64 "
        "without that rounding; with it they differ by up to "
        f"{max((r['difference'].get('float64', 0) for r in offered.values() if 'difference' in r), default=0):.1e}.",
        "",
        "| model | axes widened | block behind | parameters | float64 | float32 |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for model, r in sorted(offered.items()):
        if "difference" in r:
            block = f"`{r['block']}`" if r.get("block") else "none"
            cells = f"{r['axes']} of {r['axes_offered']} | {block} | ×{r.get('params', '?')}"
            lines.append(f"| {model} | {cells} | {_double(r):.1e} | {r['difference']['float32']:.1e} |")
    failed = {model: r for model, r in found.items() if not r["ok"]}
    if failed:
        lines += ["", "Not grown, or not equal:", ""]
        lines += [f"* {model}: {_why(r)}" for model, r in failed.items()]
    return [*lines, ""]


def _why(record: dict[str, Any]) -> str:
    if "difference" in record:
        return f"differs by {_double(record):.1e} in float64"
    return f"{record.get('reason', 'over the limit on time')}, stage {record.get('stage', '?')}"


def _double(record: dict[str, Any]) -> float:
    found = record.get("difference", {})
    return float(found.get("float64 throughout", found.get("float64", 0.0)))


def _training(found: dict[str, Any]) -> list[str]:
    seeds = found["seeds"]
    lines = [
        "## Training on",
        "",
        f"{found['date']}, {found['machine']}. Set-up and choices are in `training.py`. Cost is multiply-accumulates "
        "times examples, as a share of the big network's training from scratch; mean of "
        f"{len(seeds)} seeds, in brackets each.",
        "",
        "| network | cost | validation % | test % |",
        "|---|---:|---|---|",
    ]
    names = [name for name, value in next(iter(seeds.values())).items() if isinstance(value, dict)]
    for name in names:
        records = [record[name] for record in seeds.values()]
        share = statistics.mean(
            r["macs"] / s["big from scratch"]["macs"] for r, s in zip(records, seeds.values(), strict=True)
        )
        cells = [_each([r[part] for r in records]) for part in ("validation", "test")]
        lines.append(f"| {name} | {share:.0%} | {cells[0]} | {cells[1]} |")
    return [*lines, "", f"`verify` after growing: {next(iter(seeds.values()))['verify']}.", ""]


def _each(values: list[float]) -> str:
    return f"{100 * statistics.mean(values):.2f} ({', '.join(f'{100 * v:.2f}' for v in values)})"


if __name__ == "__main__":
    main()
