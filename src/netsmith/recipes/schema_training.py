"""Steps that train: ``finetune``, ``distil`` and ``regularize``."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from ..training import Training
from .schema_base import DataStep, Saving, ours
from .schema_values import Count, Number, Several, bare_no


class _Training(DataStep):
    """The fields of ``netsmith.training.Training``; the seed is the recipe's, and checkpoints are kept by the run."""

    trains: ClassVar[bool] = True

    epochs: int | None = None
    steps: int | None = None
    lr: Number = 0.01
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: Number = 0.9
    weight_decay: Number = 5e-4
    warmup: Number = 0.1
    clip: Number | None = 1.0
    accumulate: int = 1
    precision: Annotated[Literal["no", "bf16", "fp16"], BeforeValidator(bare_no)] = "no"
    validate_every: int | None = None
    patience: int | None = None
    checkpoint_every: int = 100

    @model_validator(mode="after")
    def _as_training(self) -> _Training:
        ours(self.training)
        return self

    def training(self, **more: Any) -> Training:
        return Training(**{name: getattr(self, name) for name in _Training.own()}, **more)

    @staticmethod
    def own() -> tuple[str, ...]:
        """Names of the fields that ``Training`` has too."""
        return tuple(name for name in _Training.model_fields if name not in DataStep.model_fields)


class Finetune(_Training):
    @property
    def wants_data(self) -> str | None:
        return "train on"


class Distil(_Training):
    """Without ``teacher``, from the model before its structure was changed: the original, or what it was trained to."""

    temperature: Annotated[Number, Field(gt=0)] = 4.0
    alpha: Annotated[Number, Field(ge=0, le=1)] = 0.0
    class_dim: int = -1
    teacher: str | None = None  # a step's name, "original", or MODEL or MODEL@FILE

    @property
    def wants_data(self) -> str | None:
        return "learn on"


class Regularize(_Training):
    """Trains under a penalty, and removes the units that went to zero. Which penalty says how these are found.

    Attributes:
        penalty: of ``netsmith.training.penalties``; "l0" is ``training.l0_gates``.
        strength: of the penalty; of "growing" the highest, 1 unless it is given.
        budget: for "growing": the units that are over it are pressed to zero.
        rise, every: of "growing": how much its strength grows in so many steps.
        threshold: units go whose score is at most this share of the best of their axis: 0 what is exactly zero.
        remove: False: leave the structure as it is.
    """

    trains: ClassVar[bool] = False  # a later ``distil`` learns from the model before it, which has all units

    penalty: Literal["group_lasso", "slimming", "growing", "l0", "l1", "l2"] = "group_lasso"
    strength: Annotated[Number, Field(ge=0)] | None = None
    budget: Saving | None = None
    rise: Annotated[Number, Field(gt=0)] = 1e-4
    every: Count = 5
    threshold: Annotated[Number, Field(ge=0, lt=1)] = 1e-3
    remove: bool = True
    round_to: Count | None = None
    ignore: Several = ()

    @model_validator(mode="after")
    def _consistent(self) -> Regularize:
        if (self.budget is not None) != (self.penalty == "growing"):
            raise ValueError("takes a budget with penalty: growing, and only with that")
        if self.patience is not None or self.validate_every is not None:
            raise ValueError("takes no patience and validate_every: the weights at the end of the training count")
        if self.strength is None and self.penalty != "growing":
            raise ValueError(f"needs strength: how hard {self.penalty} presses")
        return self

    @property
    def wants_data(self) -> str | None:
        return "train on"
