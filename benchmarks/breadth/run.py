"""Every model that timm, torchvision and transformers know: built, traced, halved and checked by shape.

    python benchmarks/breadth/run.py [--suites timm torchvision transformers] [--sample N] [--only REGEX]

timm and torchvision models are built on ``meta`` (for real where a constructor or forward needs values), transformers
models with small random configurations. Success: trace, plan_removal(keep=0.5) and apply raise nothing, the plan has
edits or the model has nothing that may change, and the edited model gives the original's output shapes wherever the
original itself runs on ``meta``. One process a model, one thread, limits on time and memory. Results are written after
each model, so a run goes on where it stopped; ``report.py`` makes the tables.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import torch  # noqa: E402
import vision  # noqa: E402
from calls import example_inputs  # noqa: E402
from children import Tell, in_child  # noqa: E402
from small import small_configs  # noqa: E402
from torch import nn  # noqa: E402

import netsmith  # noqa: E402
from netsmith.wiring import Wiring, call_model  # noqa: E402
from netsmith.wiring.recorder import tensors_in  # noqa: E402

_LARGEST = 300_000_000  # parameters of a transformers model that is built for real
_HEADS_FIRST = """
CAUSAL_LM SEQ_TO_SEQ_CAUSAL_LM SPEECH_SEQ_2_SEQ MASKED_LM IMAGE_TEXT_TO_TEXT ZERO_SHOT_IMAGE_CLASSIFICATION
IMAGE_CLASSIFICATION VIDEO_CLASSIFICATION AUDIO_CLASSIFICATION CTC UNIVERSAL_SEGMENTATION SEMANTIC_SEGMENTATION
OBJECT_DETECTION ZERO_SHOT_OBJECT_DETECTION DEPTH_ESTIMATION MULTIMODAL_LM SEQUENCE_CLASSIFICATION
"""
_SLOW = 20  # seconds: what takes longer to trace and plan is not run twice more
Built = tuple[nn.Module, Any]


# --------------------------------------------------------------------------------------------------- building


def builds(suite: str, name: str) -> Iterator[tuple[str, Callable[[], Built]]]:
    """(how, builder) pairs to try in turn."""
    if suite == "transformers":
        yield "real", lambda: _small_transformer(name)
        return
    for device in ("meta", "cpu"):
        yield ("meta" if device == "meta" else "real"), lambda device=device: _vision(suite, name, device)


def _vision(suite: str, name: str, device: str) -> Built:
    with torch.device(device):
        model = vision.build_timm(name) if suite == "timm" else vision.build_torchvision(name)
    x = vision.timm_input(model, device) if suite == "timm" else vision.torchvision_input(name, device)
    return model.eval(), x


def _small_transformer(name: str) -> Built:
    """A model class with the first small configuration with which it can be built and run."""
    import transformers

    model_class = getattr(transformers, name)
    if not hasattr(model_class, "config_class"):
        raise Unbuildable(f"{name} needs a library that is not installed")
    error: Exception | None = None
    for config in small_configs(model_class.config_class):
        try:
            with torch.device("meta"):
                size = sum(p.numel() for p in model_class(config).parameters())
            if size > _LARGEST:
                raise RuntimeError(f"{size} parameters are too many to build")
            torch.manual_seed(0)
            model = model_class(config).eval()
            return model, example_inputs(model)
        except Exception as caught:
            error = error or caught
    raise Unbuildable(_said(error) if error else "no configuration")


class Unbuildable(RuntimeError):
    """The library itself cannot build or run the model with a small configuration: not counted."""


def transformers_names() -> list[str]:
    """One model class of every configuration: with a head where there is one."""
    import transformers
    from transformers.models.auto import configuration_auto, modeling_auto

    tables = [f"MODEL_FOR_{kind}_MAPPING_NAMES" for kind in _HEADS_FIRST.split()] + ["MODEL_MAPPING_NAMES"]
    chosen: list[str] = []
    for kind in configuration_auto.CONFIG_MAPPING_NAMES:
        found = [getattr(modeling_auto, table).get(kind) for table in tables]
        names = [n if isinstance(n, str) else n[0] for n in found if n]
        name = next((n for n in names if hasattr(transformers, n)), None)
        if name and name not in chosen:
            chosen.append(name)
    return chosen


# --------------------------------------------------------------------------------------------------- one model


def attempt(suite: str, name: str, tell: Tell) -> dict[str, Any]:
    """One model, in the child: the first way of building it with which all goes well, else the last one's error."""
    record: dict[str, Any] = {}
    for how, builder in builds(suite, name):
        before = record.get("reason")
        record = {"ok": False, "built": how}
        if before:
            record["on_meta"] = before
        try:
            _try(builder, record, tell)
            break
        except Unbuildable as error:
            return {"ok": False, "skipped": str(error)}
        except Exception as error:
            record["reason"] = _said(error)
    return record


def _try(builder: Callable[[], Built], record: dict[str, Any], tell: Tell) -> None:
    def stage(what: str) -> None:
        record["stage"] = what
        tell({key: value for key, value in record.items() if key != "ok"})

    stage("build")
    model, x = builder()
    record["params"] = sum(p.numel() for p in model.parameters())
    stage("trace")
    start = time.perf_counter()
    wiring = netsmith.trace(model, x)
    record["trace_seconds"] = round(time.perf_counter() - start, 2)
    record.update(calls=len(wiring.calls), free_share=round(wiring.free_share(), 4), fake=wiring.fake)
    record["frozen"] = reasons(wiring)
    record["unsupported"] = [str(u.function) for u in wiring.unsupported]
    stage("plan")
    start = time.perf_counter()
    plan = netsmith.plan_removal(wiring, keep=0.5, score=lambda axis, weights: torch.arange(axis.size).float())
    record["plan_seconds"] = round(time.perf_counter() - start, 2)
    record["edits"] = len(plan.edits)
    stage("apply")
    start = time.perf_counter()
    edited = netsmith.apply(model, plan)
    record["apply_seconds"] = round(time.perf_counter() - start, 2)
    record["share"] = round(sum(p.numel() for p in edited.parameters()) / max(record["params"], 1), 4)
    stage("shapes")
    quick = record["trace_seconds"] + record["plan_seconds"] < _SLOW
    record["run"] = quick and shapes_agree(model, edited, x)  # plan_removal has replayed the edited twin already
    stage("edits")
    if not plan.edits and wiring.free_axes:
        raise RuntimeError(f"the plan is empty, although {len(wiring.free_axes)} axes may change")
    record["nothing"] = not plan.edits
    record["ok"] = True
    del record["stage"]


def shapes_agree(model: nn.Module, edited: nn.Module, x: Any) -> bool:
    """Whether the original runs by itself (on ``meta`` some do not); raises if the edited one then gives otherwise."""
    torch.manual_seed(0)
    with torch.no_grad():
        try:
            before = [tuple(t.shape) for t in tensors_in(call_model(model, x))]
        except Exception:
            return False
        after = [tuple(t.shape) for t in tensors_in(call_model(edited, x))]
    same = [(len(a), a[1:]) for a in before] == [(len(a), a[1:]) for a in after]  # boxes of a detector are data
    if not same:
        raise RuntimeError(f"outputs have shapes {after[:4]}, not {before[:4]}")
    return True


def reasons(wiring: Wiring) -> dict[str, list[int]]:
    """Reason -> [axes, parameter elements that lie on no axis that may change and on one frozen for this reason]."""
    free = {m.tensor for axis in wiring.free_axes for m in axis.members}
    axes: Counter[str] = Counter()
    fixed: dict[str, set[str]] = {}
    for axis in wiring.axes:
        if axis.frozen and axis.size > 1:
            why = re.sub(r"\d+", "#", axis.frozen.partition(", in ")[0])
            axes[why] += 1
            fixed.setdefault(why, set()).update(m.tensor for m in axis.members if m.trainable and m.tensor not in free)
    return {
        why: [count, sum(wiring.tensors[n].numel() for n in fixed.get(why, ()))] for why, count in axes.most_common(16)
    }


def _said(error: Exception) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])[:400]}"


# --------------------------------------------------------------------------------------------------- all models


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", nargs="+", default=["torchvision", "timm", "transformers"])
    parser.add_argument("--sample", type=int, default=0, help="this many models of each of timm's files")
    parser.add_argument("--only", default="", help="regular expression on the model's name")
    parser.add_argument("--again", default=None, help="forget the results of models whose record matches this")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--gigabytes", type=float, default=6)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(exist_ok=True)
    for suite in options.suites:
        path = options.out / f"{suite}.json"
        found = json.loads(path.read_text()) if path.is_file() else {}
        if options.again is not None:
            found = {n: r for n, r in found.items() if not re.search(options.again, json.dumps({n: r}))}
        for name in _names(suite, options.sample):
            if name in found or not re.search(options.only, name):
                continue
            record = in_child(
                lambda tell, suite=suite, name=name: attempt(suite, name, tell), options.seconds, options.gigabytes
            )
            found[name] = record
            path.write_text(one_line_each(found))
            print(_line(suite, name, record), flush=True)


def one_line_each(found: dict[str, Any]) -> str:
    """JSON with a line for each model: thousands of them still make a file that can be read and compared."""
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(record)}" for name, record in found.items()) + "\n}\n"


def _names(suite: str, sample: int) -> list[str]:
    if suite == "timm":
        return vision.timm_names(sample)
    return vision.torchvision_names() if suite == "torchvision" else transformers_names()


def _line(suite: str, name: str, record: dict[str, Any]) -> str:
    mark = "ok  " if record["ok"] else "skip" if "skipped" in record else "FAIL"
    why = record.get("skipped") or f"{record.get('stage', '')} {record.get('reason', '')}"
    return (
        f"{mark} {suite:<12} {name:<48} share {record.get('share')} free {record.get('free_share')} "
        f"{record['wall_seconds']} s {why}"
    )


if __name__ == "__main__":
    main()
