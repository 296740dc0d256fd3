"""The pruner under test. Contract of a plug-in: ``prune(model, x, ratio, outputs, info) -> model``."""

from __future__ import annotations

import time
from typing import Any

from torch import nn

import netsmith
from netsmith import apply, plan_removal, trace  # the front door is lazy: imports are not what is timed


def prune(model: nn.Module, x: Any, ratio: float, outputs: list[nn.Module], info: dict[str, Any]) -> nn.Module:
    """Half of every width, no setting per model. The model's outputs are protected by ``trace`` itself."""
    start = time.perf_counter()
    wiring = trace(model, x)
    plan = plan_removal(wiring, keep=1 - ratio)
    edited = apply(model, plan)
    info["seconds"] = round(time.perf_counter() - start, 3)
    info["unsupported"] = [str(u) for u in wiring.unsupported]
    info["free_share"] = round(wiring.free_share(), 4)
    info["check"] = lambda: _exactness(model, edited, plan, x)
    return edited


def _exactness(model: nn.Module, edited: nn.Module, plan: netsmith.Plan, x: Any) -> str:
    """How strictly ``verify`` found the plan's promise kept; it makes weights and statistics uneven by itself."""
    verdict = netsmith.verify(model, edited, plan, x)
    worst = [check for check in verdict.checks if check.status == "failed"]
    return f"failed: {worst[0].name}: {worst[0].detail}" if worst else verdict.checks[3].status
