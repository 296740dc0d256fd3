"""What a recipe may say: one model a step, with the names and defaults of the Python calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ..costs.engines import ENGINES
from ..searches import Space
from ..searches.strategies import STRATEGIES
from .schema_base import Data, DataStep, Limits, Saving, Step, Strict, one_of, ours, saving
from .schema_training import Distil, Finetune, Regularize
from .schema_values import Amount, Count, Number, Numbers, Several, as_tuple, bare_no, shape, where_to_insert, width


class Shrink(DataStep):
    budget: Saving
    heal: Count | None = None
    score: str | None = None
    round_to: Count | None = None
    ignore: Several = ()
    depth: bool = False
    precision: Annotated[Literal["auto", "no", "bf16"], BeforeValidator(bare_no)] = "auto"

    @property
    def wants_data(self) -> str | None:
        if self.depth:
            return "measure which blocks may go"
        return None if self.heal is None else "heal"


class Cut(DataStep):
    blocks: Count | None = None
    budget: Saving | None = None
    threshold: Annotated[Number, Field(gt=0)] | None = None
    influence: Literal["divergence", "cosine", "taylor"] = "divergence"
    branches: bool = True
    maps: bool = True

    @model_validator(mode="after")
    def _one(self) -> Cut:
        one_of(self, "blocks", "budget", "threshold")
        return self

    @property
    def wants_data(self) -> str | None:
        return "measure influence"


class Merge(DataStep):
    pairs: Count | None = None
    threshold: Annotated[Number, Field(ge=0, le=1)] | None = None
    likeness: Literal["cka", "cosine"] = "cka"
    exact: bool = True

    @model_validator(mode="after")
    def _something(self) -> Merge:
        if self.pairs is not None and self.threshold is not None:
            raise ValueError("takes one of pairs and threshold")
        if self.pairs is None and self.threshold is None and not self.exact:
            raise ValueError("has nothing to do: give pairs or threshold, or leave exact: true")
        return self

    @property
    def wants_data(self) -> str | None:
        return None if self.pairs is None and self.threshold is None else "compare blocks"


class Grow(DataStep):
    widen: dict[str, Annotated[Any, AfterValidator(width)]] | None = None
    deepen: Count | None = None
    where: Annotated[Any, AfterValidator(where_to_insert)] = "even"

    @model_validator(mode="after")
    def _something(self) -> Grow:
        if not self.widen and self.deepen is None:
            raise ValueError('takes widen (e.g. {"*": 1.5}) or deepen (e.g. 2), or both')
        return self

    @property
    def wants_data(self) -> str | None:
        return "measure influence" if self.where == "influence" else None


class Sparsify(DataStep):
    threshold: Annotated[Number, Field(ge=0)] | None = None
    share: Annotated[Number, Field(gt=0, lt=1)] | None = None
    pattern: str | None = None
    scope: Literal["global", "layer"] = "global"
    criterion: Literal["magnitude", "wanda", "sparsegpt"] = "magnitude"
    repair: bool = True
    remove_dead: bool = True
    ignore: Several = ()

    @model_validator(mode="after")
    def _one(self) -> Sparsify:
        one_of(self, "threshold", "share", "pattern")
        return self

    @property
    def wants_data(self) -> str | None:
        return None if self.criterion == "magnitude" else f"compute criterion {self.criterion}"


class Quantize(DataStep):
    scheme: Literal["int8", "int4", "dynamic-int8"] | None = None
    budget: Saving | None = None
    group: Annotated[int, Field(ge=0)] = 0
    clip: Literal["max", "percentile", "mse", "kl"] = "max"
    ignore: Several = ()
    heal: Count | None = None

    @model_validator(mode="after")
    def _one(self) -> Quantize:
        one_of(self, "scheme", "budget")
        return self

    @property
    def wants_data(self) -> str | None:
        if self.heal is not None:
            return "heal"
        return None if self.budget is None else "choose precisions for a budget"


class SearchSpace(Strict):
    """As ``netsmith.searches.Space``, without precisions: ``quantize`` comes after the search."""

    widths: bool = True
    depth: bool = False
    operators: Several = ()
    growth: Numbers = ()
    only: Several = ()
    ignore: Several = ()
    round_to: Count | None = None
    steps: Annotated[int, Field(ge=2)] = 16
    cut: Literal["inside", "whole"] = "inside"

    @model_validator(mode="after")
    def _of_a_space(self) -> SearchSpace:
        ours(self.space)
        return self

    def space(self) -> Space:
        return Space(**self.model_dump())


class Search(DataStep):
    """The run goes on with the best structure under the first budget."""

    budgets: Annotated[tuple[Limits, ...], BeforeValidator(lambda v: (v,) if isinstance(v, dict) else as_tuple(v))]
    space: SearchSpace = SearchSpace()
    strategy: Several = ("allocation",)
    trials: Count = 24
    time: Annotated[Number, Field(ge=0)] | None = None
    heal: Count | None = None
    finalists: Count = 3
    workers: Count = 1
    ray: str | None = None
    engine: Literal["eager", "compile", "onnxruntime", "openvino"] = "eager"

    @model_validator(mode="after")
    def _known(self) -> Search:
        if not self.budgets:
            raise ValueError("needs one budget at least")
        for budget in () if self.space.growth else self.budgets:
            saving(budget)
        unknown = [name for name in self.strategy if name not in STRATEGIES]
        if unknown:
            raise ValueError(f"has no strategy {unknown[0]!r}; there are {', '.join(STRATEGIES)}")
        return self

    @property
    def wants_data(self) -> str | None:
        return "repair structures with"


class Ensemble(DataStep):
    members: Annotated[Several, Field(min_length=1)]
    kind: Literal["parallel", "blend", "stack", "mixture", "cascade", "select"] = "parallel"
    rule: Literal["probabilities", "geometric", "logits", "vote", "mean", "median"] = "probabilities"
    method: Literal["log_loss", "least_squares", "greedy", "logistic", "ridge"] | None = None
    target_accuracy: Annotated[Number, Field(gt=0, le=1)] | None = None
    target_cost: Amount = None
    confidence: Literal["probability", "margin", "entropy", "agreement"] = "probability"
    combine: Literal["last", "mean"] = "last"

    @model_validator(mode="after")
    def _consistent(self) -> Ensemble:
        if self.kind == "cascade" and (self.target_accuracy is None) == (self.target_cost is None):
            raise ValueError("takes one of target_accuracy and target_cost for a cascade")
        if len(set(self.members)) != len(self.members):
            raise ValueError("names a member twice")
        return self

    @property
    def wants_data(self) -> str | None:
        return None if self.kind == "parallel" else f"fit a {self.kind}"


class Evaluate(DataStep):
    """Measures on ``data``, or on the recipe's ``eval``.

    Attributes:
        engines: "all", or some: times the original and the model under them, in every precision they have.
        int8: also in int8, calibrated on the recipe's ``data``.
    """

    changes: ClassVar[bool] = False

    metric: str | None = None
    engines: Several = ()
    int8: bool = False

    @model_validator(mode="after")
    def _known(self) -> Evaluate:
        unknown = [name for name in self.engines if name not in (*ENGINES, "all")]
        if unknown:
            raise ValueError(f"has no engine {unknown[0]!r}; there are {', '.join(ENGINES)}, or all of them: all")
        if self.int8 and not self.engines:
            raise ValueError("takes int8 with engines: it says in which precisions they are timed")
        return self


class Inspect(DataStep):
    changes: ClassVar[bool] = False

    influence: bool = False

    @property
    def wants_data(self) -> str | None:
        return "measure influence" if self.influence else None


class Export(DataStep):
    changes: ClassVar[bool] = False

    to: Literal["onnx", "openvino", "torch-export", "executorch"]
    int8: bool = False
    free_batch: bool = True

    @property
    def wants_data(self) -> str | None:
        return "calibrate int8" if self.int8 else None


class Report(Step):
    changes: ClassVar[bool] = False


STEPS: Mapping[str, type[Step]] = {
    "shrink": Shrink,
    "prune": Shrink,
    "cut": Cut,
    "merge": Merge,
    "grow": Grow,
    "sparsify": Sparsify,
    "regularize": Regularize,
    "finetune": Finetune,
    "distil": Distil,
    "quantize": Quantize,
    "search": Search,
    "ensemble": Ensemble,
    "evaluate": Evaluate,
    "inspect": Inspect,
    "export": Export,
    "report": Report,
}


class Head(Strict):
    """What stands above the steps: the same text as on the command line.

    Attributes:
        model: MODEL.
        weights: file to load.
        input: shape of the example input.
        data: to calibrate, repair and train with.
        eval: to measure on after each step, and to choose the best weights of a training on; never the test set.
        metric: "accuracy", "loss", "perplexity", or the address of a function (model, batches) -> score.
        seed: of everything drawn at random.
        title: of the report.
    """

    model: str
    weights: str | None = None
    input: Annotated[Any, AfterValidator(shape)] = None
    data: Data | None = None
    eval: Data | None = None
    metric: str = "accuracy"
    seed: Annotated[int, Field(ge=0)] = 0
    title: str | None = None
