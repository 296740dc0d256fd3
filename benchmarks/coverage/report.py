"""Makes results.md from what ``run.py`` found: one table of sums, one of models."""

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
    found = {path.stem: json.loads(path.read_text()) for path in sorted((HERE / "results").glob("with_*.json"))}
    names = {"with_netsmith": "netsmith", "with_torch_pruning": "Torch-Pruning 1.6"}
    lines = [
        "# Coverage: halving every width of real architectures",
        "",
        f"{date.today().isoformat()}, {platform.machine()}, {os.cpu_count()} cores (one thread a model), torch "
        f"{torch.__version__}. What counts as success is in `run.py`; the list is `../shared/coverage/models.json`.",
        "",
        "| | " + " | ".join(names[name] for name in found) + " |",
        "|---|" + "---|" * len(found),
    ]
    suites = sorted({model.split("/")[0] for records in found.values() for model in records})
    for suite in suites:
        lines.append(f"| {suite} | " + " | ".join(_passed(records, suite) for records in found.values()) + " |")
    lines.append("| all | " + " | ".join(_passed(records, "") for records in found.values()) + " |")
    lines += ["", *_times(found), "", *_failures(found, names)]
    (HERE / "results.md").write_text("\n".join(lines) + "\n")


def _passed(records: dict[str, Any], suite: str) -> str:
    chosen = [record for model, record in records.items() if model.startswith(suite)]
    return f"{sum(record['ok'] for record in chosen)} of {len(chosen)}"


def _times(found: dict[str, dict[str, Any]]) -> list[str]:
    both = set.intersection(*({m for m, r in records.items() if r["ok"]} for records in found.values()))
    lines = [f"Median seconds of trace + plan + apply on the {len(both)} models that all manage, in the same run:"]
    for name, records in found.items():
        lines.append(f"* `{name}`: {statistics.median(records[model]['seconds'] for model in both):.2f}")
    if len(found) == 2:
        ours, theirs = (records for _, records in sorted(found.items()))
        ratios = [ours[model]["seconds"] / theirs[model]["seconds"] for model in both]
        lines.append(f"* in the median model the ratio of the two is {statistics.median(ratios):.2f}")
        lines.append(f"* all models together: {sum(ours[m]['seconds'] for m in both):.0f} s")
        lines[-1] += f" against {sum(theirs[m]['seconds'] for m in both):.0f} s"
    exactness = [r.get("exactness", "") for r in found.get("with_netsmith", {}).values() if r["ok"]]
    counts = {status: exactness.count(status) for status in dict.fromkeys(exactness)}
    said = ", ".join(f"{n} {status}" for status, n in counts.items())
    return [*lines, "", f"netsmith's exactness check: {said}."]


def _failures(found: dict[str, dict[str, Any]], names: dict[str, str]) -> list[str]:
    lines = ["## Failures", "", "| pruner | model | stage | reason |", "|---|---|---|---|"]
    for name, records in found.items():
        for model, record in records.items():
            if not record["ok"]:
                reason = str(record.get("reason", "")).replace("|", "\\|")[:140]
                lines.append(f"| {names[name]} | {model} | {record.get('stage')} | {reason} |")
    return lines


if __name__ == "__main__":
    main()
