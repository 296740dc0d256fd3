"""Records of runs, as tests of pages need them."""

from __future__ import annotations

from typing import Any

from netsmith.reports.record import (
    AxisRecord,
    BlockRecord,
    CandidateRecord,
    CheckRecord,
    ClassesRecord,
    CostRecord,
    EngineRecord,
    RunRecord,
    StepRecord,
)


def cost(share: float, latency_ms: float | None = None) -> CostRecord:
    """A share of 1,000,000 MACs, 2,000 parameters and 8,000 bytes."""
    return CostRecord(
        params=round(2000 * share), macs=round(1_000_000 * share), bytes=round(8000 * share), latency_ms=latency_ms
    )


def classes(*wrong: int) -> ClassesRecord:
    counts = tuple((8, 1, 1) if i in wrong else tuple(10 * (i == j) for j in range(3)) for i in range(3))
    return ClassesRecord(labels=("cat", "dog", "owl"), confusion=counts, f1=(1.0, 0.9, 0.8))


def candidate(number: int, origin: str, share: float, score: float, **more: Any) -> CandidateRecord:
    name, scores = f"{origin}-{number}", {"accuracy": score}
    return CandidateRecord(name=name, origin=origin, cost=cost(share), scores=scores, **more)


def full_run() -> RunRecord:
    """A run with something in every section."""
    return RunRecord(
        title="A network, searched",
        kind="search",
        model="netsmith.zoo:digits_resnet",
        date="2026-11-22T12:00:00+00:00",
        seed=3,
        seconds=61.0,
        command=("netsmith search netsmith.zoo:digits_resnet --out out/a", "netsmith report out/a"),
        asked={"budget": {"macs": 0.5}, "trials": 40},
        machine={"processor": "a processor", "torch": "2.15"},
        steps=(
            StepRecord(name="original", kind="load", cost=cost(1.0, 2.0), scores={"accuracy": 0.95}, classes=classes()),
            StepRecord(
                name="small",
                kind="prune",
                asked={"keep": 0.5},
                seconds=4.0,
                cost=cost(0.5, 1.1),
                predicted_latency_ms=1.0,
                scores={"accuracy": 0.94},
                classes=classes(1),
                checks=(
                    CheckRecord(name="outputs", status="exact", detail="largest difference 1e-7"),
                    CheckRecord(name="runs", status="ok", detail="finite"),
                ),
                left={"stage1.0": "its twin did not run"},
                said=("12 units were removed",),
            ),
        ),
        axes=(
            AxisRecord(name="conv1.weight:0", before=16, after=8),
            AxisRecord(name="stage1.0.conv1.weight:0", before=16, after=0),
            AxisRecord(name="stage1.1.conv1.weight:0", before=16, after=24),
            AxisRecord(name="copy of stage1.1.conv1.weight:0", before=0, after=24),
            AxisRecord(name="embedding.weight:0", before=50_000, after=50_000, frozen="read by position"),
            AxisRecord(name="fc.weight:0", before=10, after=10, frozen="a dimension of the model's output"),
        ),
        blocks=(
            BlockRecord(name="stage1.0", fate="removed", influence=0.01, sensitivity=0.5),
            BlockRecord(name="stage1.1", influence=0.04, sensitivity=0.25),
        ),
        influence_of_axes={"conv1.weight:0": 0.5},
        engines=(
            EngineRecord(engine="eager", precision="fp32", batch=8, original_ms=2.0, result_ms=1.1, difference=0.0),
            EngineRecord(engine="openvino", precision="int8", batch=8, result_ms=0.2, difference=0.4),
            EngineRecord(engine="onnxruntime", precision="fp32", batch=8, original_ms=1.0, result_ms=0.6),
            EngineRecord(engine="compile", precision="int8", batch=8, why="torchao is absent"),
        ),
        candidates=(
            candidate(0, "evolution", 0.5, 0.94, on_front=True, chosen=True, healed=True, plan="plans/0.json"),
            candidate(1, "evolution", 0.3, 0.90, on_front=True),
            candidate(2, "uniform", 0.5, 0.91),
            CandidateRecord(name="random-0", origin="random", cost=cost(0.9), rejected="too dear"),
        ),
    )


def small_run() -> RunRecord:
    """A run without a score, a check, or anything else that was measured but cost."""
    return RunRecord(
        title="Nothing but cost",
        model="mine.py:model",
        date="2026-11-22",
        steps=(
            StepRecord(name="original", kind="load", cost=cost(1.0)),
            StepRecord(name="cut", kind="cut", cost=cost(0.8)),
        ),
    )


def hostile_run(evil: str) -> RunRecord:
    """A run in which every text is ``evil``."""
    run = full_run()
    step = StepRecord(
        name=evil,
        kind=evil,
        asked={evil: evil},
        cost=cost(1.0, 1.0),
        predicted_latency_ms=1.0,
        scores={evil: 0.5},
        classes=ClassesRecord(labels=(evil, evil + "2"), confusion=((1, 1), (0, 2)), f1=(0.5, 0.6)),
        checks=(CheckRecord(name=evil, status="failed", detail=evil),),
        left={evil: evil},
        said=(evil,),
    )
    one = CandidateRecord(name=evil, origin=evil, cost=cost(0.5), scores={evil: 0.5}, rejected=evil, plan=evil)
    changes = {
        "title": evil,
        "model": evil,
        "date": evil,
        "command": (evil,),
        "asked": {evil: [evil]},
        "machine": {evil: evil},
        "steps": (step, step.model_copy(update={"cost": cost(0.5, 0.5)})),
        "axes": (AxisRecord(name=evil, before=4, after=2, frozen=evil),),
        "blocks": (BlockRecord(name=evil, fate=evil, influence=1.0, sensitivity=1.0),),
        "influence_of_axes": {evil: 1.0},
        "engines": (EngineRecord(engine=evil, precision=evil, batch=1, result_ms=1.0, why=evil),),
        "candidates": (one, one.model_copy(update={"on_front": True, "chosen": True})),
        "objectives": ("macs", evil),
    }
    return run.model_copy(update=changes)
