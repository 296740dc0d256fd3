"""Writes results.md from the records of run.py.

python benchmarks/breadth/report.py [--results DIR]
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
Records = dict[str, dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args()
    suites = {path.stem: json.loads(path.read_text()) for path in sorted(options.results.glob("*.json"))}
    everything = {f"{suite}/{name}": r for suite, records in suites.items() for name, r in records.items()}
    counted = {name: r for name, r in everything.items() if "skipped" not in r}
    text = [
        "# Breadth: every model that three libraries know",
        "",
        "Made by `run.py` and `report.py`. Success: trace, plan at keep=0.5 and apply raise nothing, the plan has "
        "edits (or nothing may change), and output shapes stay.",
        "",
        *_suites(suites),
        *_failures(counted),
        *_frozen(counted),
        *_free(counted),
        *_slow(counted),
        *_skipped(everything),
    ]
    path = options.results / "results.md"
    path.write_text("\n".join(text) + "\n")
    print(f"wrote {path}")


def _suites(suites: dict[str, Records]) -> list[str]:
    lines = [
        "| suite | models | passed | | params share ≤ 0.6 | share, median | on axes that may change, median "
        "| built on meta | compared by running | seconds, median |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for suite, records in suites.items():
        counted = [r for r in records.values() if "skipped" not in r]
        good = [r for r in counted if r["ok"]]
        if not good:
            continue
        halved = [r for r in good if r["share"] <= 0.6]
        lines.append(
            f"| {suite} | {len(counted)} | {len(good)} | {len(good) / len(counted):.1%} | {len(halved)} "
            f"| {median(r['share'] for r in good):.2f} | {median(r['free_share'] for r in good):.1%} "
            f"| {sum(r['built'] == 'meta' for r in good)} | {sum(r['run'] for r in good)} "
            f"| {median(r['trace_seconds'] + r['plan_seconds'] + r['apply_seconds'] for r in good):.1f} |"
        )
    return [*lines, ""]


def _failures(records: Records) -> list[str]:
    failed = [
        f"| {name} | {r.get('stage', '')} | {_cell(r.get('reason', ''))} |"
        for name, r in records.items()
        if not r["ok"]
    ]
    empty = [name for name, r in records.items() if r["ok"] and r["nothing"]]
    lines = ["## Failures", "", "| model | stage | reason |", "|---|---|---|", *failed, ""] if failed else []
    if empty:
        lines += [f"Nothing may change in {len(empty)}: {', '.join(empty)}.", ""]
    return lines


def _frozen(records: Records) -> list[str]:
    axes: Counter[str] = Counter()
    models: Counter[str] = Counter()
    shares: dict[str, list[float]] = {}
    for r in records.values():
        for why, (count, elements) in r.get("frozen", {}).items():
            axes[why] += count
            models[why] += 1
            shares.setdefault(why, []).append(elements / max(r["params"], 1))
    lines = [
        "## What stays frozen, and why",
        "",
        "Parameters: the share of a model's parameters that lie on no axis that may change and on one frozen for this "
        "reason, mean over the models that have such axes.",
        "",
        "| reason | axes | models | parameters |",
        "|---|---|---|---|",
    ]
    for why, count in axes.most_common(40):
        mean = sum(shares[why]) / len(shares[why])
        lines.append(f"| {_cell(why)} | {count} | {models[why]} | {mean:.1%} |")
    return [*lines, ""]


def _free(records: Records) -> list[str]:
    good = {name: r for name, r in records.items() if "free_share" in r}
    worst = sorted(good, key=lambda name: good[name]["free_share"])[:10]
    return [
        "## Share of the parameters on axes that may change",
        "",
        f"Median {median(r['free_share'] for r in good.values()):.1%}. The worst ten:",
        "",
        "| model | free | params left at keep=0.5 |",
        "|---|---|---|",
        *[f"| {name} | {good[name]['free_share']:.1%} | {good[name].get('share', '')} |" for name in worst],
        "",
    ]


def _slow(records: Records) -> list[str]:
    good = {name: r for name, r in records.items() if "apply_seconds" in r}
    slowest = sorted(good, key=lambda name: -_seconds(good[name]))[:10]
    return [
        "## Slowest",
        "",
        "| model | parameters | calls | trace s | plan s | apply s |",
        "|---|---|---|---|---|---|",
        *[
            f"| {n} | {good[n]['params']:,} | {good[n]['calls']} | {good[n]['trace_seconds']} "
            f"| {good[n]['plan_seconds']} | {good[n]['apply_seconds']} |"
            for n in slowest
        ],
        "",
    ]


def _seconds(record: dict[str, Any]) -> float:
    return record["trace_seconds"] + record["plan_seconds"] + record["apply_seconds"]


def _skipped(records: Records) -> list[str]:
    skipped = [f"| {n} | {_cell(r['skipped'])} |" for n, r in records.items() if "skipped" in r]
    if not skipped:
        return []
    head = "The library itself could not build or run these with the small configurations and inputs that were tried."
    return ["## Not counted", "", head, "", "| model | why |", "|---|---|", *skipped, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    main()
