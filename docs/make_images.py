"""Draws docs/images/demo.svg from the demo's summary.

python docs/make_images.py [SUMMARY]        (default: out/demo/summary.json)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

WIDTH, ROW, TOP, BAR_LEFT, BAR = 760, 44, 62, 96, 330
TEXT = 'font-family="system-ui, sans-serif" font-size="14"'
LABELS = {"original": "original", "prune": "pruned", "repair": "repaired", "distil": "distilled"}


def picture(steps: list[dict[str, Any]], images: int) -> str:
    """SVG: one row a step, its MACs (of a call with so many images) as a bar, accuracy and latency as numbers."""
    height = TOP + ROW * len(steps) + 14
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff" rx="8"/>',
        *_text(BAR_LEFT, 34, f"MACs of {images} images", "#57606a"),
        *_text(560, 34, "test accuracy", "#57606a", anchor="end"),
        *_text(646, 34, "macro-F1", "#57606a", anchor="end"),
        *_text(740, 34, "latency", "#57606a", anchor="end"),
    ]
    for i, step in enumerate(steps):
        middle = TOP + ROW * i + 14
        share = step["macs"] / steps[0]["macs"]
        colour = "#8c959f" if i == 0 else "#1f6feb"
        length = BAR * share
        parts += [
            *_text(16, middle + 5, LABELS.get(step["name"], step["name"]), "#1f2328"),
            f'<rect x="{BAR_LEFT}" y="{middle - 12}" width="{length:.1f}" height="24" rx="3" fill="{colour}"/>',
            *_macs_label(length, middle + 5, f"{step['macs'] / 1e6:.0f} M  ({share:.0%})"),
            *_text(560, middle + 5, f"{step['accuracy']:.1%}", "#1f2328", anchor="end", weight="600"),
            *_text(646, middle + 5, f"{step['f1']:.3f}", "#1f2328", anchor="end"),
            *_text(740, middle + 5, f"{step['latency_ms']:.1f} ms", "#1f2328", anchor="end"),
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _macs_label(length: float, y: float, text: str) -> list[str]:
    """Inside a long bar, beside a short one."""
    if length > BAR / 2:
        return _text(BAR_LEFT + length - 10, y, text, "#ffffff", anchor="end")
    return _text(BAR_LEFT + length + 10, y, text, "#1f2328")


def _text(x: float, y: float, text: str, colour: str, *, anchor: str = "start", weight: str = "400") -> list[str]:
    style = f'fill="{colour}" text-anchor="{anchor}" font-weight="{weight}" {TEXT}'
    return [f'<text x="{x:.1f}" y="{y:.1f}" {style}>{text}</text>']


def main(summary: Path) -> None:
    image = Path(__file__).parent / "images" / "demo.svg"
    image.parent.mkdir(exist_ok=True)
    run = json.loads(summary.with_name("run.json").read_text(encoding="utf-8"))
    steps = json.loads(summary.read_text(encoding="utf-8"))
    image.write_text(picture(steps, run["asked"]["batch"]), encoding="utf-8")
    print(f"{image} drawn from {summary}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo/summary.json"))
