"""``save_ensemble``: a folder with all members' weights, how they are put together, and a page for people."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from torch import nn

from .. import __version__
from ..combining.ensembles import Additive, Cascade, Ensemble, Mixture, Parallel, Stack, TreeEnsemble, Wrapped
from ..errors import InputError, ModelError, PlanError
from ..plans.plan import Plan
from .ensemble_schema import FORMAT, VERSION, EnsembleEntry
from .folder import new_folder
from .plan_file import checksum, plan_to_json
from .plan_schema import WeightsEntry
from .saving import CARD, WEIGHTS, check_fits_tensors, sha256_of
from .weights import collect, write_weights

ENSEMBLE: Final = "ensemble.json"
GATE: Final = "gate"


def save_ensemble(
    model: Ensemble,
    path: str | os.PathLike[str],
    *,
    plans: Mapping[str, Plan] | None = None,
    notes: str | None = None,
    beside: Mapping[str, str] | None = None,
) -> None:
    """Write an ensemble to a folder that ``load_ensemble`` reads: model.safetensors, ensemble.json and card.md.

    The folder appears whole or not at all. Members may be ensembles themselves. Nothing is pickled.

    Args:
        model: what ``combining.parallel``, ``blend``, ``cascade``, ``stack``, ``mixture`` or ``boost`` returned.
        path: a folder that does not exist yet, or an empty one; parents are made.
        plans: of members that netsmith changed: the member's name (``outer/inner`` inside another ensemble) -> the
            plan that made it, so that loading can replay it on the original's structure.
        notes: Markdown that is added to card.md, e.g. measured accuracy.
        beside: name -> text of further files for the folder; ``load_ensemble`` does not read them.

    Raises:
        InputError: ``model`` is no ensemble, or a plan for a member that is not there.
        ModelError: a member is no torch module (``Wrapped``), or a tensor that safetensors cannot hold.
        PlanError: a plan that did not make its member.
        FileError: the folder is not empty, or cannot be written.

    Example:
        >>> save_ensemble(ensemble, "out/both", plans={"small": result.plan})  # doctest: +SKIP
    """
    if not isinstance(model, Ensemble):
        raise InputError(
            f"save_ensemble: model is a {type(model).__name__}; give what netsmith.combining made, and save a single "
            "network with netsmith.save"
        )
    apart = _apart(model)
    built = dict(built_members(apart))
    plans = dict(plans or {})
    if unknown := sorted(plans.keys() - built.keys()):
        raise InputError(f"plans for {', '.join(map(repr, unknown))}, but the members are {', '.join(built) or 'none'}")
    for name, plan in plans.items():
        try:
            check_fits_tensors(plan, collect(built[name]))
        except PlanError as error:
            raise PlanError(f"member {name!r}: {error}") from error
    collected = collect(apart)
    structure = _group_json(apart, "", _batched(model), plans)
    with new_folder(path) as folder:
        write_weights(collected, folder / WEIGHTS)
        weights = WeightsEntry(
            file=WEIGHTS,
            sha256=sha256_of(folder / WEIGHTS),
            aliases=collected.aliases,
            dim_orders=collected.dim_orders,
        )
        record: dict[str, Any] = {"format": FORMAT, "version": VERSION, "netsmith": __version__}
        record |= {"ensemble": structure, "weights": weights.model_dump()}
        record["checksum"] = checksum(record)
        _check_readable(record)
        (folder / ENSEMBLE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        (folder / CARD).write_text(_card(apart, Path(path).resolve().name, list(built), notes), encoding="utf-8")
        for name, text in (beside or {}).items():
            (folder / name).write_text(text, encoding="utf-8")


def _check_readable(record: dict[str, Any]) -> None:
    """Raise InputError if ``load_ensemble`` would refuse this."""
    try:
        EnsembleEntry.model_validate(record)
    except (ValidationError, RecursionError) as error:
        raise InputError(f"the ensemble cannot be written as a file: {error}") from error


def built_members(model: Ensemble, prefix: str = "") -> list[tuple[str, nn.Module]]:
    """(name, module) of all members that the caller has to build, gates included, through nested ensembles."""
    found: list[tuple[str, nn.Module]] = []
    for name, member in model.named_members().items():
        if isinstance(member, Ensemble):
            found += built_members(member, f"{prefix}{name}/")
        elif not isinstance(member, TreeEnsemble):
            found.append((prefix + name, member))
    if isinstance(model, Mixture) and model.reads == "input":
        found.append((prefix + GATE, model.gate))
    return found


def _apart(model: Ensemble) -> Ensemble:
    """With one module a member."""
    if isinstance(model, Parallel):
        return model.side_by_side()
    inner = [m for m in model.modules() if isinstance(m, Parallel) and m.stacked is not None]
    if inner:
        raise InputError("an ensemble inside another runs as one batch; save it with side_by_side() in its place")
    return model


def _batched(model: Ensemble) -> bool:
    return isinstance(model, Parallel) and model.stacked is not None


def _group_json(model: Ensemble, prefix: str, batched: bool, plans: Mapping[str, Plan]) -> dict[str, Any]:
    members = {name: _member_json(m, prefix + name, plans) for name, m in model.named_members().items()}
    return {**_own_json(model, prefix, batched, plans), "members": members}


def _own_json(model: Ensemble, prefix: str, batched: bool, plans: Mapping[str, Plan]) -> dict[str, Any]:
    if isinstance(model, Parallel):
        return {"kind": "parallel", "rule": model.rule, "batched": batched}
    if isinstance(model, Additive):
        return {"kind": "additive", "classes": len(model.base)}
    if isinstance(model, Cascade):
        return {"kind": "cascade", "measure": model.measure, "combine": model.combine}
    if isinstance(model, Stack):
        head = model.head
        return {"kind": "stack", "features": model.features, "inputs": head.in_features, "outputs": head.out_features}
    if isinstance(model, Mixture):
        own = model.reads == "input"
        gate = _built_json(model.gate, prefix + GATE, plans) if own else None
        return {"kind": "mixture", "linear": None if own else model.gate.in_features, "gate": gate}
    raise InputError(f"a {type(model).__name__} is no ensemble that netsmith can save")


def _member_json(member: nn.Module, name: str, plans: Mapping[str, Plan]) -> dict[str, Any]:
    if isinstance(member, Ensemble):
        return _group_json(member, f"{name}/", False, plans)
    if isinstance(member, TreeEnsemble):
        trees, nodes = member.feature.shape
        sizes = {"trees": trees, "nodes": nodes, "classes": len(member.base)}
        return {"kind": "trees", **sizes, "depth": member.depth, "inputs": member.inputs}
    return _built_json(member, name, plans)


def _built_json(member: nn.Module, name: str, plans: Mapping[str, Plan]) -> dict[str, Any]:
    if any(isinstance(module, Wrapped) for module in member.modules()):
        raise ModelError(
            f"member {name!r} wraps a Python object, which only pickle could save, and pickles run code when they are "
            "read. Turn scikit-learn's GradientBoostingClassifier into a module with tree_ensemble(...), leave the "
            "member out, or distil the ensemble into one network. Nothing was written."
        )
    kind = type(member)
    plan = plan_to_json(plans[name]) if name in plans else None
    return {"kind": "built", "made_by": f"{kind.__module__}.{kind.__qualname__}"[:1000], "plan": plan}


def _card(model: Ensemble, name: str, builders: list[str], notes: str | None) -> str:
    given = ", ".join(f"{each!r}: build_{i}" for i, each in enumerate(builders))
    lines = [f"# {' '.join(name.split())}", f"A {type(model).__name__} of netsmith {__version__}:", ""]
    lines += ["| member | parameters | class |", "|---|---:|---|"]
    for member, module in model.named_members().items():
        size = sum(p.numel() for p in module.parameters())
        lines.append(f"| `{member.replace('|', '/')}` | {size:,} | `{type(module).__qualname__}` |")
    facts = {key: value.tolist() for key, value in model.named_buffers(recurse=False)}
    lines += ["", *(f"- {key}: {_numbers(value)}" for key, value in facts.items()), "", "## Load it", ""]
    lines += ["```python", "from netsmith.files import load_ensemble", ""]
    lines += [f"model = load_ensemble({name!r}, {{{given}}})  # functions that build the members", "```"]
    return "\n".join(lines) + ("\n\n## Notes\n\n" + notes.strip() if notes else "") + "\n"


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)
