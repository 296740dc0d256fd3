"""What every step of a recipe may say: its name, the model and the data that it takes, and budgets."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ..errors import NetsmithError
from ..plans import Budget
from ..plans.budget import check_saving
from .schema_values import Amount, Count, Named, Numbers


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


class Data(Strict):
    """A data set; just its name is enough. ``mean`` and ``std`` are for image files, whose pixels are in 0..1."""

    name: str
    mean: Numbers | None = None
    std: Numbers | None = None
    batch_size: Count = 64

    @model_validator(mode="before")
    @classmethod
    def _of_its_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class Limits(Strict):
    """Of a budget, as in ``netsmith.Budget``: shares are of the model that the step is given."""

    macs: Amount = None
    params: Amount = None
    bytes: Amount = None
    latency_ms: Amount = None
    peak_bytes: Amount = None

    @model_validator(mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _of_a_budget(self) -> Limits:
        ours(self.budget)
        return self

    def budget(self) -> Budget:
        return Budget(**self.model_dump())


def saving(limits: Limits) -> Limits:
    """Of a step that makes less of what there is."""
    ours(lambda: check_saving(limits.budget()))
    return limits


Saving = Annotated[Limits, AfterValidator(saving)]


def ours(make: Any) -> None:
    """What the called function itself would refuse is refused here, where the line is known."""
    try:
        make()
    except NetsmithError as error:
        raise ValueError(str(error)) from None


class Step(Strict):
    """What every step takes.

    Attributes:
        name: of its folder, and for later steps to refer to; default: the kind of the step.
        from_: the step whose model is taken ("from" in YAML), or "original"; default: the step before.
    """

    changes: ClassVar[bool] = True  # makes another model
    trains: ClassVar[bool] = False

    name: Named | None = None
    from_: str | None = Field(default=None, alias="from")

    @property
    def wants_data(self) -> str | None:
        """What the step, as it is asked for, cannot do without data; None where it can."""
        return None

    def asked(self) -> dict[str, Any]:
        """All options after defaults, but those that only name and join steps; plain values."""
        return self.model_dump(mode="json", by_alias=True, exclude={"name", "from_", "data"})


class DataStep(Step):
    """A step with data of its own; without ``data`` it takes the recipe's, and ``data: null`` means none."""

    data: Data | None = None


def one_of(step: BaseModel, *names: str) -> None:
    if sum(getattr(step, name) is not None for name in names) != 1:
        raise ValueError(f"takes one of {', '.join(names[:-1])} and {names[-1]}")
