"""Builds and scores one candidate of a search: what a worker does for a trial."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..costs import measure
from ..data.running import eval_mode
from ..errors import InputError
from ..evidence import first_output, mean_divergence
from ..evidence.masks import Mask
from ..files import load, load_plan, save
from ..recovery import Repaired
from ..searches.realizing import as_integers, realized
from ..searches.space import Menus
from ..searches.structure import structure_from_json
from ..searches.trials import digest
from ..training import distil
from ..wiring import Wiring, call_model, tensor_slots, trace
from .search_inputs import value_of
from .steps import Evaluate, scores_of

Heal = int | Callable[[nn.Module, nn.Module], nn.Module]


@dataclass(eq=False)
class Workbench:
    """All that it takes to judge a structure; can be pickled where model, data and functions can.

    Attributes:
        model: the original; not changed.
        example_inputs: one call's inputs.
        menus: what structures are chosen from.
        ranks: axis -> its units, those that stay longest first.
        repair: batches to repair with.
        held_out: batches to measure the divergence from the original's outputs on.
        evaluate: model -> score or scores; None: only the divergence counts.
        objective, higher: name of the score that decides, and whether higher is better.
        heal: epochs of distillation, or ``(edited, original) -> trained``; undone where the score gets worse.
        data: to distil on.
        folder: where healed models are kept; None: nowhere, they are made again when they are asked for.
    """

    model: nn.Module
    example_inputs: Any
    menus: Menus
    ranks: Mapping[str, Sequence[int]]
    repair: Sequence[Any]
    held_out: Sequence[Any]
    evaluate: Evaluate | None
    objective: str
    higher: bool
    heal: Heal | None
    data: Iterable[Any]
    round_to: int | None = None
    mask: Mask | None = None
    seed: int = 0
    folder: Path | None = None
    _wiring: Wiring | None = field(default=None, repr=False)
    _references: list[Any] | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_wiring": None, "_references": None}  # each process reads the model for itself

    def __call__(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Judge one structure.

        Args:
            spec: "structure"; "most": the divergence beyond which it is not evaluated; "finely", "heal": whether.

        Returns:
            "cost", "divergence", "scores" and "rejected": why it was not evaluated, or None.
        """
        done = self.built(spec)
        values: dict[str, Any] = {"cost": measure(done.model, self.example_inputs).as_dict(), "scores": {}}
        values["divergence"] = divergence = self.divergence(done.model)
        values["rejected"] = None
        most = spec["most"]
        if divergence != divergence or divergence == float("inf"):
            values |= {"divergence": None, "rejected": "its outputs are not finite"}
        elif most is not None and divergence > most:
            values["rejected"] = (
                f"its outputs differ by {divergence:.3g} on a small batch; the better ones by less than {most:.3g}"
            )
        else:
            values["scores"] = self._scores(done.model)
        return values

    def built(self, spec: Mapping[str, Any]) -> Repaired:
        """The model and its plan: repaired, healed where the spec says so, as integers where the structure says so."""
        kept = None if self.folder is None or not spec["heal"] else self.folder / digest(dict(spec))[:16]
        if kept is not None and kept.is_dir():
            return Repaired(load(kept, lambda: copy.deepcopy(self.model)), load_plan(kept), {})
        chosen = structure_from_json(spec["structure"])
        done = realized(
            self.wiring,
            self.menus,
            chosen,
            self.ranks,
            self.repair,
            round_to=self.round_to,
            finely=spec["finely"],
            mask=self.mask,
            seed=self.seed,
        )
        if spec["heal"] and self.heal is not None:
            trained = self._healed(done.model)
            if self._value(trained) >= self._value(done.model):
                done = Repaired(trained, done.plan.with_refitted(slot.name for slot in tensor_slots(trained)), {})
        if chosen.precision is not None:
            done = as_integers(done, chosen.precision, self.example_inputs, self.repair, self.mask)
        if kept is not None:
            save(done.model, kept, plan=done.plan)
        return done

    def divergence(self, model: nn.Module) -> float:
        """From the original's outputs, on the held-out batches."""
        with eval_mode(model):
            return mean_divergence(model, self.held_out, self.references)

    @property
    def wiring(self) -> Wiring:
        if self._wiring is None:
            self._wiring = trace(self.model, self.example_inputs)
        return self._wiring

    @property
    def references(self) -> list[Any]:
        if self._references is None:
            with eval_mode(self.model), torch.no_grad():
                self._references = [first_output(call_model(self.model, inputs)) for inputs in self.held_out]
        return self._references

    def _value(self, model: nn.Module) -> float:
        return value_of(self.objective, self.higher)(self._scores(model))

    def _scores(self, model: nn.Module) -> dict[str, float]:
        return scores_of(self.evaluate, model) or {"divergence": self.divergence(model)}

    def _healed(self, edited: nn.Module) -> nn.Module:
        if isinstance(self.heal, int):
            return distil(edited, self.model, self.data, epochs=self.heal, seed=self.seed).eval()
        assert self.heal is not None
        trained = self.heal(copy.deepcopy(edited), self.model)
        if not isinstance(trained, nn.Module):
            raise InputError(f"heal returned a {type(trained).__name__}; it must return the trained module")
        return trained.eval()
