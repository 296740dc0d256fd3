"""Exact merges on whole networks: that outputs stay what they are, and how much faster a call becomes.

    python benchmarks/merging/exact.py [--shared ../shared/data] [--cases vgg16_bn repvgg_a0]

Each network gets normalization statistics, scales and shifts that are not those of a fresh one (resnet56 is trained),
and is merged by ``plan_fusion``. Measured: the largest difference of the outputs, relative to the largest output, in
float32 on random images; whether ``verify`` holds; processor time of one call in one thread, before and after, in
turns, medians, for batches of 1 and 32. It is processor time because the machine may be busy with other work. For
timm's RepVGG and MobileOne the same with timm's own ``reparameterize_model``. Writes exact.json and exact.md.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import timm  # noqa: E402
import torch  # noqa: E402
import torchvision  # noqa: E402
from timm.utils.model import reparameterize_model  # noqa: E402
from torch import nn  # noqa: E402

import netsmith  # noqa: E402
from netsmith.plans import plan_fusion  # noqa: E402

HERE = Path(__file__).parent
TORCHVISION = ("vgg16_bn", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "regnet_y_400mf", "densenet121")
TIMM = ("repvgg_a0", "mobileone_s0", "fastvit_t8", "deit3_small_patch16_224")


def lively(model: nn.Module) -> nn.Module:
    """Statistics, scales and shifts as training leaves them, not as a constructor does."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "running_var" in name:
                tensor.uniform_(0.5, 2, generator=generator)
            elif "running_mean" in name or (name.endswith("bias") and tensor.dim() == 1):
                tensor.normal_(0, 0.3, generator=generator)
            elif tensor.is_floating_point() and tensor.dim() == 1:
                tensor.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def oneshot() -> ModuleType:
    """``run.py`` of the benchmark of that name, which loads the trained networks."""
    folder = HERE.parent / "oneshot"
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("oneshot_run", folder / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def builders(shared: Path) -> dict[str, tuple[Callable[[], nn.Module], int]]:
    """name -> (the model, the side of its images)."""
    found: dict[str, tuple[Callable[[], nn.Module], int]] = {
        "resnet56-jpeg": (lambda: oneshot().trained(56, shared), 32)
    }
    for name in TORCHVISION:
        found[name] = (lambda name=name: lively(torchvision.models.get_model(name, weights=None)), 64)  # type: ignore[misc]
    for name in TIMM:
        found[name] = (lambda name=name: lively(timm.create_model(name)), 224 if name.endswith("224") else 64)  # type: ignore[misc]
    return found


def difference(a: nn.Module, b: nn.Module, x: torch.Tensor) -> float:
    with torch.no_grad():
        left, right = a(x), b(x)
    return float((left - right).abs().max() / left.abs().max())


@torch.inference_mode()
def processor_times(models: Sequence[nn.Module], x: torch.Tensor, rounds: int) -> list[float]:
    """Median milliseconds of processor time of one call of each model, taken in turns."""
    taken: list[list[float]] = [[] for _ in models]
    for model in models:
        model(x)
    for _ in range(rounds):
        for model, times in zip(models, taken, strict=True):
            start = time.process_time()
            model(x)
            times.append((time.process_time() - start) * 1e3)
    return [statistics.median(times) for times in taken]


def measured(model: nn.Module, side: int, rounds: int) -> dict[str, Any]:
    torch.manual_seed(1)
    x = torch.randn(32, 3, side, side)
    wiring = netsmith.trace(model, x[:2])
    start = time.perf_counter()
    plan = plan_fusion(wiring)
    seconds = time.perf_counter() - start
    merged = netsmith.apply(model, plan)
    norms = [sum("running_mean" in name for name in m.state_dict()) for m in (model, merged)]
    row: dict[str, Any] = {
        "side": side,
        "merges": len(plan.edits),
        "norms": f"{norms[0]} → {norms[1]}",
        "difference": difference(model, merged, x[:4]),
        "verified": bool(netsmith.verify(model, merged, plan, x[:2])),
        "planned_s": round(seconds, 1),
    }
    models, keys = [model, merged], ["before", "after"]
    if any(hasattr(m, "reparameterize") for m in model.modules()):
        models.append(reparameterize_model(copy.deepcopy(model)).eval())
        keys.append("timm")
        row["timm_difference"] = difference(model, models[-1], x[:4])
    for batch in (1, 32):
        found = processor_times(models, x[:batch], rounds if batch == 1 else max(rounds // 4, 5))
        row |= {f"{key}_ms_batch_{batch}": round(ms, 2) for key, ms in zip(keys, found, strict=True)}
        row[f"speed_up_batch_{batch}"] = round(found[0] / found[1], 2)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--cases", nargs="+")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases = builders(options.shared)
    file = HERE / "exact.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for case in options.cases or cases:
        build, side = cases[case]
        machine = f"{platform.machine()}, {torch.get_num_threads()} thread, torch {torch.__version__}"
        row = measured(build(), side, options.rounds)
        print(case, row, flush=True)
        results[case] = {"date": date.today().isoformat(), "machine": machine, **row}
        file.write_text(json.dumps(results, indent=1) + "\n")
        (HERE / "exact.md").write_text(table(results))


def table(results: dict[str, Any]) -> str:
    dates = sorted({row["date"] for row in results.values()})
    machines = sorted({row["machine"] for row in results.values()})
    lines = ["# Exact merges", "", "Made by `exact.py`, which says what is measured.", ""]
    lines += [
        f"{', '.join(dates)}; {'; '.join(machines)}. Milliseconds of processor time, medians, in turns.",
        "",
    ]
    lines += [
        "| network | images | merges | norms | difference | verified | batch 1 | | batch 32 | | timm's own, ms |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in results.items():
        times = [
            f"{row[f'before_ms_batch_{b}']} → {row[f'after_ms_batch_{b}']} | {row[f'speed_up_batch_{b}']}×"
            for b in (1, 32)
        ]
        own = f"{row['timm_ms_batch_1']}, {row['timm_ms_batch_32']}" if "timm_ms_batch_1" in row else "–"
        lines.append(
            f"| {name} | {row['side']}² | {row['merges']} | {row['norms']} | {row['difference']:.1e} | "
            f"{'yes' if row['verified'] else 'no'} | {times[0]} | {times[1]} | {own} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
