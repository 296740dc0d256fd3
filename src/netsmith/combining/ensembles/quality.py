"""How good an ensemble is, and what it costs: accuracy, F1, log-loss, calibration, mean and worst MACs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from ...costs import measure
from ...errors import InputError
from ...wiring.recorder import tensors_in
from .calibration import calibration_error
from .cascade import Cascade
from .outputs import gather


@dataclass(frozen=True)
class Quality:
    """One model on labelled data.

    Attributes:
        accuracy: share of right answers in 0..1.
        f1: F1 averaged over the classes that occur, each alike, 0..1.
        log_loss: mean negative log-probability of the right class, in nats; lower is better.
        ece: expected calibration error over 15 bins, 0..1; lower is better.
        mean_macs: multiply-accumulates an example, mean over this data.
        worst_macs: the same of an example that every member sees.
    """

    accuracy: float
    f1: float
    log_loss: float
    ece: float
    mean_macs: float
    worst_macs: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def evaluate(model: nn.Module, data: Iterable[Any], example_inputs: Any) -> Quality:
    """Measure any classifier, ensemble or not, on labelled data.

    A cascade's mean cost is what it spent on this data: the share of examples that reached each member times that
    member's MACs. For all other models, and for a cascade inside another ensemble, mean and worst are the same.

    Args:
        model: returns (N, C) logits or log-probabilities.
        data: batches (x, y) that can be iterated twice.
        example_inputs: one call's inputs; MACs are counted with them and divided by their number of examples.

    Raises:
        InputError, ModelError: as :func:`.outputs.gather`.
    """
    found = gather({"model": model}, data)
    worst = macs_of({"model": model}, example_inputs)["model"]
    mean = worst
    if isinstance(model, Cascade):
        costs = macs_of(model.named_members(), example_inputs).values()
        reached = model.reached(data)
        mean = sum(cost * share for cost, share in zip(costs, reached, strict=True))
    return Quality(**scored(found.scores[0].log_softmax(-1), found.labels), mean_macs=mean, worst_macs=worst)


def scored(log_probabilities: Tensor, labels: Tensor) -> dict[str, float]:
    """accuracy, f1, log_loss and ece of log-probabilities (N, C) for labels (N,)."""
    # scikit-learn takes a second to import; only those who measure wait.
    from sklearn.metrics import accuracy_score, f1_score

    said = log_probabilities.argmax(1).numpy()
    return {
        "accuracy": float(accuracy_score(labels.numpy(), said)),
        "f1": float(f1_score(labels.numpy(), said, average="macro", zero_division=0)),
        "log_loss": float(-log_probabilities.double().gather(1, labels[:, None]).mean()),
        "ece": calibration_error(log_probabilities, labels),
    }


def macs_of(models: Mapping[str, nn.Module], example_inputs: Any) -> dict[str, float]:
    """Name -> multiply-accumulates an example; what is not computed by torch counts zero.

    Raises:
        InputError: the example inputs do not fit.
    """
    tensors = tensors_in(example_inputs)
    if not tensors or not tensors[0].ndim or not len(tensors[0]):
        raise InputError("example_inputs must hold a tensor with at least one example, batch first")
    return {name: measure(model, example_inputs).macs / len(tensors[0]) for name, model in models.items()}
