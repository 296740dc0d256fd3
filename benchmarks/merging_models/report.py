"""results.json of this folder, and results.md made from it."""

from __future__ import annotations

import json
import platform
from datetime import date
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent


def kept(part: str) -> dict[str, Any]:
    """What results.json has of a part."""
    path = HERE / "results.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    return {key: value for key, value in results.get(part, {}).items() if key not in ("machine", "date")}


def keep(part: str, found: dict[str, Any]) -> None:
    """Put one part's figures in results.json, with machine and date."""
    path = HERE / "results.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__.partition('+')[0]}"
    results[part] = {"machine": machine, "date": date.today().isoformat(), **found}
    path.write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "results.md").write_text(page(results))


def page(results: dict[str, Any]) -> str:
    """results.md."""
    lines = ["# Models merged", ""]
    writers = {"mergekit": _mergekit, "rebasin": _rebasin, "two halves": _halves, "permuting": _permuting}
    smaller = {part: _mergekit for part in results if part.startswith("mergekit,")}
    for part, write in (writers | smaller).items():
        if part in results:
            found = results[part]
            lines += [f"## {part}", "", f"{found['date']}, {found['machine']}.", "", *write(found), ""]
    return "\n".join(lines)


def _table(head: list[str], rows: list[list[Any]]) -> list[str]:
    return [f"| {' | '.join(map(str, row))} |" for row in (head, ["---"] * len(head), *rows)]


def _mergekit(found: dict[str, Any]) -> list[str]:
    rows = []
    for name, each in found["merges"].items():
        ours, theirs, values = each["netsmith"], each["mergekit"], each["values"]
        pairs = [f"{ours[k]:,} / {theirs[k]:,}" for k in ("seconds", "cpu_seconds", "peak_MB")]
        ties = values["beyond_tolerance_but_a_tie_at_the_threshold"]
        rows.append([name, *pairs, each["times_faster"], values["differing"], values["beyond_tolerance"], ties])
    head = ["method", "wall s, netsmith / mergekit", "CPU s", "peak MB", "times faster", "values that differ"]
    head += ["beyond tolerance", "beyond it, but a tie at the threshold"]
    return [
        f"{found['parameters']:,} parameters in bfloat16; copying one checkpoint took {found['copying_seconds']} s; "
        f"OMP_NUM_THREADS={found['threads']} for both; load average at the start "
        f"{found.get('load_at_start', 'not kept')}. {found.get('note', '')}".strip(),
        "Tolerance: 2⁻⁷ of the value (one step of bfloat16) plus 2⁻⁷·0.01 (one step of the differences from the base).",
        "",
        *_table(head, rows),
    ]


def _rebasin(found: dict[str, Any]) -> list[str]:
    lines = ["The ResNet-20s were trained by `cifar.py` for 1,120 steps only; three points, 1,000 test images.", ""]
    for name, case in found.items():
        if isinstance(case, dict):
            rows = [
                [
                    way,
                    row["barrier"],
                    row.get("removed", ""),
                    row["accuracy_halfway"],
                    " ".join(map(str, row["losses"])),
                ]
                for way, row in case.items()
                if isinstance(row, dict)
            ]
            accuracies = " and ".join(map(str, case["accuracies"]))
            lines += [f"### {name}: test accuracies {accuracies}", ""]
            lines += [*_table(["", "barrier", "removed", "accuracy halfway", "losses along the line"], rows), ""]
    return lines


def _halves(found: dict[str, Any]) -> list[str]:
    nets = {name: case["mean"] for name, case in found.items() if isinstance(case, dict)}
    ways = list(next(iter(nets.values())))
    rows = [[way, *(each[way] for each in nets.values())] for way in ways]
    return [f"Test accuracy on all ten digits, mean of seeds {found['seeds']}.", "", *_table(["", *nets], rows)]


def _permuting(found: dict[str, Any]) -> list[str]:
    models = found["models"]
    failed = [
        [name, each.get("stage"), each.get("reason", "stopped")] for name, each in models.items() if not each["ok"]
    ]
    good = [each for each in models.values() if each["ok"]]
    moved, free = sum(each["axes"] for each in good), sum(each["free"] for each in good)
    worst = max((each["error"] for each in good), default=0.0)
    said = f"{found['passed']} of {found['tried']} networks tried (of {found['of']} in the list): outputs within 1e-5"
    said += f" after {moved} of {free} free axes were put in a random order at once; largest difference {worst:.1e}."
    return [said, "", *(_table(["failed", "stage", "reason"], failed) if failed else [])]
