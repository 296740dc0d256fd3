"""Which engine and precision is fastest for resnet56-jpeg on one thread, and what pruned + quantized is worth.

    OMP_NUM_THREADS=1 python benchmarks/engines/run.py [--shared ../shared/data] [--rounds 40] [--no-compile]

Each form is calibrated on 1,024 unlabelled training images. The form of OpenVINO's int8 is chosen on 2,000 other
training images (at most 0.5 points below float32) and by time at 32 images; test images are looked at once, for the
table. Times are medians of calls measured in turns, in milliseconds of wall clock and of processor time: on a machine
that does something else meanwhile only the second says much. The pruned network (fewer blocks, ÷2.57 of the MACs,
healed without labels; --no-pruned leaves it out) is made on the first run and kept in --kept. Writes results.json
and results.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
from shrunk import images, shrunk, trained
from torch import Tensor, nn

import netsmith
from netsmith.costs.onnx_form import onnx_runner, quantize_onnx, write_onnx
from netsmith.costs.openvino_form import openvino_model, openvino_runner, quantized_openvino, write_openvino
from netsmith.costs.torch_form import compiled_runner, eager_runner, int8_runner

Run = Callable[[Any], list[Tensor]]
BATCHES = (1, 32)


def processor() -> str:
    """Name of the processor, and which of its instructions matter here."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in info.splitlines())}
    flags = [f for f in ("avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16") if f in fields.get("flags", "").split()]
    return f"{fields.get('model name', 'unknown processor')} ({', '.join(flags) or 'none of VNNI, bf16, AMX'})"


def in_turns(runs: dict[str, Run], x: Tensor, rounds: int) -> dict[str, tuple[float, float]]:
    """Medians: (wall, processor) milliseconds."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for run in runs.values():
        run(x), run(x)
    for _ in range(rounds):
        for name, run in runs.items():
            start, busy = time.perf_counter(), time.process_time()
            run(x)
            taken[name].append((time.perf_counter() - start, time.process_time() - busy))
    return {
        name: tuple(round(1e3 * statistics.median(each[i] for each in times), 2) for i in range(2))  # type: ignore[misc]
        for name, times in taken.items()
    }


def right(run: Run, data: tuple[Tensor, Tensor], size: int = 250) -> float:
    """Percent."""
    found = sum(
        int((run(x)[0].argmax(1) == y).sum()) for x, y in zip(data[0].split(size), data[1].split(size), strict=True)
    )
    return round(100 * found / len(data[0]), 2)


def openvino_forms(made: Any, calibration: list[Tensor]) -> dict[str, Callable[[], Any]]:
    """Name -> what makes an int8 model: presets, and which operations stay floats."""
    ordered = made.get_ordered_ops()
    first = next(op.get_friendly_name() for op in ordered if op.get_type_name() == "Convolution")
    last = [op.get_friendly_name() for op in ordered if op.get_type_name() == "MatMul"]
    return {
        "all symmetric": lambda: quantized_openvino(made, calibration),
        "all mixed": lambda: quantized_openvino(made, calibration, mixed=True),
        "sums in floats": lambda: quantized_openvino(made, calibration, float_types=["Add"]),
        "ends in floats": lambda: quantized_openvino(made, calibration, float_names=[first, *last]),
    }


def onnx_runs(model: nn.Module, data: dict[str, Any], rows: dict[str, dict[str, Any]]) -> dict[str, Run]:
    """ONNX Runtime in float32 and static int8; bytes and accuracy go into ``rows``."""
    runs = {}
    with tempfile.TemporaryDirectory() as scratch:
        floats, integers = Path(scratch) / "floats.onnx", Path(scratch) / "int8.onnx"
        write_onnx(model, data["test"][0][:1], floats)
        quantize_onnx(floats, integers, data["calibration"])
        for name, file in (("ONNX Runtime fp32", floats), ("ONNX Runtime int8 (QDQ)", integers)):
            runs[name] = onnx_runner(file, 1)
            rows[name] = {"bytes": file.stat().st_size, "validation": right(runs[name], data["validation"])}
    return runs


def measured(model: nn.Module, data: dict[str, Any], options: argparse.Namespace, title: str) -> dict[str, Any]:
    """Times of every form at each batch size, accuracy on validation and test images, and bytes of the weights."""
    made = openvino_model(model, data["test"][0][:1])
    wanted = {n: make for n, make in openvino_forms(made, data["calibration"]).items() if n in options.forms}
    models: dict[str, Any] = {"floats": made}
    sizes: dict[str, int] = {}
    right_of: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("floats", *wanted):
            models[name] = models.get(name) or wanted[name]()
            write_openvino(models[name], Path(scratch) / "model.xml")
            sizes[name] = (Path(scratch) / "model.bin").stat().st_size
            right_of[name] = right(openvino_runner(models[name], 1, "f32"), data["validation"])
            print(f"{title}: {name}, {sizes[name]:,} bytes, {right_of[name]} % of the validation images", flush=True)
    rows: dict[str, dict[str, Any]] = {}
    whole: dict[str, Run] = {"eager fp32": eager_runner(model)}
    if options.onnx:
        whole |= onnx_runs(model, data, rows)
    shaped: dict[str, Callable[[Tensor], Run]] = {}
    used: dict[str, tuple[Any, Any]] = {}
    for hint, word in (("f32", "fp32"), ("bf16", "bf16")):
        for name, form in models.items():
            label = f"OpenVINO {word}" if name == "floats" else f"OpenVINO int8, {name}, rest {word}"
            shaped[label] = lambda x, form=form, hint=hint: openvino_runner(form, 1, hint, fixed=x)
            rows[label] = {"bytes": sizes[name], "validation": right_of[name]}
            used[label] = (form, hint)
    if options.compile:
        shaped["torch.compile fp32"] = lambda x: compiled_runner(model)
        shaped["torch.compile int8 (PT2E)"] = lambda x: int8_runner(model, x, data["calibration"])
    for size in BATCHES:
        batch = data["test"][0][:size]
        runs = whole | {name: make(batch) for name, make in shaped.items()}
        for name, (wall, busy) in in_turns(runs, batch, options.rounds).items():
            row = rows.setdefault(name, {})
            row[f"ms_{size}"], row[f"cpu_ms_{size}"] = wall, busy
            print(f"{title}: {name}, {size} images: {wall} ms, {busy} ms of processor time", flush=True)
    chosen = min(
        (n for n in rows if n.startswith("OpenVINO int8") and rows[n]["validation"] >= right_of["floats"] - 0.5),
        key=lambda name: rows[name]["cpu_ms_32"],
        default=None,
    )
    for name in ("OpenVINO fp32", "OpenVINO bf16", *([chosen] if chosen else [])):
        form, hint = used[name]
        rows[name]["test"] = right(openvino_runner(form, 1, hint), data["test"])
    return {"model": title, "chosen": chosen, "rows": rows, "macs": netsmith.measure(model, data["test"][0][:1]).macs}


def table(results: list[dict[str, Any]], machine: str, rounds: int) -> str:
    lines = [
        "# Engines and precisions, one thread",
        "",
        f"{date.today().isoformat()}, {machine}.",
        f"Milliseconds of one call with 1 and with 32 images: medians of {rounds} calls in turns, wall clock "
        "(processor time). Accuracy in percent on the validation images (of the training file; int8 with the rest in "
        "fp32) and, for fp32, bf16 and the chosen form, on the 5,000 test images. Bytes of the weights' file. Written "
        "by `run.py`.",
    ]
    for result in results:
        lines += ["", f"## {result['model']} ({result['macs']:,} MACs)", ""]
        lines += ["| form | 1 image | 32 images | validation | test | bytes |", "|---|---|---|---|---|---|"]
        for name, row in result["rows"].items():
            mark = "**" if name == result["chosen"] else ""
            times = " | ".join(f"{row[f'ms_{b}']:.1f} ({row[f'cpu_ms_{b}']:.1f})" for b in BATCHES)
            size = f"{row['bytes']:,}" if "bytes" in row else "–"
            cells = f"{times} | {row.get('validation', '–')} | {row.get('test', '–')} | {size}"
            lines.append(f"| {mark}{name}{mark} | {cells} |")
    return "\n".join([*lines, "", *findings(results), ""])


def findings(results: list[dict[str, Any]]) -> list[str]:
    """What the aims ask for, as ratios of processor time at 32 images."""
    whole = results[0]["rows"]
    found = []
    for result in results:
        rows, name = result["rows"], result["chosen"]
        if name is None:
            found.append(f"{result['model']}: no int8 form stays within 0.5 points of float32 on validation images.")
            continue
        best = rows[name]
        fp32, bf16 = rows["OpenVINO fp32"], rows["OpenVINO bf16"]
        found.append(
            f"{result['model']}, {name}: {fp32['cpu_ms_32'] / best['cpu_ms_32']:.2f}× as fast as fp32 and "
            f"{bf16['cpu_ms_32'] / best['cpu_ms_32']:.2f}× as fast as bf16 at 32 images "
            f"({fp32['cpu_ms_1'] / best['cpu_ms_1']:.2f}× and {bf16['cpu_ms_1'] / best['cpu_ms_1']:.2f}× at one), "
            f"{best['test'] - fp32['test']:+.2f} points on test images."
        )
        if result is not results[0]:
            first = whole["OpenVINO fp32"]
            found.append(
                f"Against the unpruned network in fp32: 1/{first['bytes'] / best['bytes']:.1f} of the bytes, "
                f"1/{first['cpu_ms_32'] / best['cpu_ms_32']:.1f} of the time at 32 images, 1/"
                f"{first['cpu_ms_1'] / best['cpu_ms_1']:.1f} at one, {best['test'] - first['test']:+.2f} points."
            )
    return [line for each in found for line in (each, "")][:-1]


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=here.parents[2] / "shared" / "data")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="torch.compile too")
    parser.add_argument("--onnx", action=argparse.BooleanOptionalAction, default=True, help="ONNX Runtime too")
    forms = ["all symmetric", "all mixed", "sums in floats", "ends in floats"]
    parser.add_argument("--forms", nargs="+", choices=forms, default=forms, help="int8 forms of OpenVINO")
    parser.add_argument("--validation", type=int, default=2000, help="validation images")
    parser.add_argument("--pruned", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--steps", type=int, default=1116, help="of healing the pruned network")
    parser.add_argument(
        "--kept", type=Path, default=Path("out") / "resnet56-small", help="where the pruned network is kept"
    )
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args()
    if not options.shared.is_dir():
        sys.exit(f"{options.shared} is absent: this benchmark needs the shared networks and images")
    torch.set_num_threads(1)
    model = trained(56, options.shared)
    train = images(options.shared / "cifar10-jpeg" / "train.parquet", 3024)
    data = {
        "calibration": list(train[0][:1024].split(32)),
        "validation": (train[0][1024:][: options.validation], train[1][1024:][: options.validation]),
        "test": images(options.shared / "cifar10-jpeg" / "test.parquet"),
    }
    machine = f"{processor()}, {os.cpu_count()} cores, one thread, torch {torch.__version__}"
    results = []
    small = f"resnet56-jpeg, 10 of 27 blocks fewer, ÷2.57 of the MACs, healed for {options.steps} steps"
    for title in ["resnet56-jpeg", *([small] if options.pruned else [])]:
        if results and results[0]["chosen"]:  # the form is chosen once
            options.forms = [form for form in forms if f", {form}," in results[0]["chosen"]]
        network = model if not results else shrunk(model, options.shared, options.steps, options.kept)
        results.append(measured(network, data, options, title))
        found = {"date": date.today().isoformat(), "machine": machine, "rounds": options.rounds, "results": results}
        (options.out / "results.json").write_text(json.dumps(found, indent=1) + "\n")
        (options.out / "results.md").write_text(table(results, machine, options.rounds))
    print((options.out / "results.md").read_text())


if __name__ == "__main__":
    main()
