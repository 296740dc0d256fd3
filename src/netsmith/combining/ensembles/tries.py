"""What ``select`` tries: every kind of ensemble, fitted on recorded outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from torch import nn

from .blend import blend
from .calibration import temperature
from .cascade import Cascade
from .cascading import stages
from .container import Ensemble
from .mixture import mixture
from .outputs import Outputs
from .parallel import parallel
from .recorded import recorded
from .stack import stack
from .thresholds import best_of, choices

KINDS = ("single", "parallel", "blend", "stack", "mixture", "cascade")
_CASCADE_SHARES = (0.1, 0.25, 0.5)  # of the examples that may go on, about, from one member to the next


def fitted(
    outputs: Outputs, macs: Mapping[str, float], kinds: tuple[str, ...], seed: int
) -> Iterator[tuple[str, str, Ensemble]]:
    """(name, kind, ensemble whose members are recorded)."""
    members = recorded(outputs)
    rows = [(torch.arange(len(outputs.labels)), outputs.labels)]
    means, fits, metas = (
        ("probabilities", "geometric", "vote"),
        ("log_loss", "least_squares", "greedy"),
        ("logistic", "ridge"),
    )
    tries: dict[str, dict[str, Callable[[], Ensemble]]] = {
        "parallel": {rule: partial(parallel, members, rule=rule) for rule in means},
        "blend": {method: partial(blend, members, outputs, method=method, seed=seed) for method in fits},
        "stack": {meta: partial(stack, members, outputs, meta=meta, seed=seed) for meta in metas},
        "mixture": {"linear gate": partial(mixture, members, rows, seed=seed)},
    }
    if "single" in kinds:
        yield from ((name, "single", parallel({name: model}, rule="logits")) for name, model in members.items())
    if len(members) < 2:
        return
    for kind, methods in tries.items():
        for name, make in methods.items() if kind in kinds else ():
            yield f"{kind}: {name}", kind, make()
    if "cascade" in kinds:
        yield from _cascades(outputs, macs, members)


def _cascades(
    outputs: Outputs, macs: Mapping[str, float], members: Mapping[str, nn.Module]
) -> Iterator[tuple[str, str, Ensemble]]:
    names = list(members)
    accuracy = {
        n: float((s.argmax(1) == outputs.labels).float().mean()) for n, s in zip(names, outputs.scores, strict=True)
    }
    worth = [n for i, n in enumerate(names) if all(accuracy[n] > accuracy[m] for m in names[:i])]
    chains = [[a, b] for i, a in enumerate(names) for b in names[i + 1 :]] + ([worth] if len(worth) > 2 else [])
    for chain in chains:
        part = Outputs(tuple(chain), outputs.scores[[names.index(n) for n in chain]], outputs.labels)
        costs = [macs[n] for n in chain]
        heat = torch.tensor([temperature(scores, part.labels) for scores in part.scores])
        for combine in ("last", "mean"):
            tried = list(choices(*stages(part, heat.tolist(), "probability", combine), costs))
            for share in _CASCADE_SHARES:
                chosen = best_of(tried, None, costs[0] + share * sum(costs[1:]))
                thresholds = torch.tensor(chosen.thresholds, dtype=torch.float32)
                at_share = Cascade({n: members[n] for n in chain}, "probability", combine, heat, thresholds)
                yield f"cascade: {' → '.join(chain)}, {share:.0%} go on, {combine}", "cascade", at_share.eval()
