"""Mixtures: a small gate says, example by example, how much each member counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...data.running import each_batch, logits
from ...errors import InputError
from ...training import Training
from ...training.train import train
from .container import Ensemble, Members, named
from .outputs import Outputs, gather
from .shrinking import Start, shrunk
from .stack import laid_out

_ALONE = 20.0  # nats between a member alone and the others


class Mixture(Ensemble):
    """All members run; their probabilities are averaged with weights that a gate gives for each example.

    Attributes:
        gate: returns (N, M) scores, one a member; their softmax is the weights.
        reads: "scores" (the members' log-probabilities, laid end to end) or "input" (what the members get).
    """

    def __init__(self, members: Mapping[str, nn.Module], gate: nn.Module, reads: str) -> None:
        super().__init__(members)
        self.gate, self.reads = gate, reads

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """(N, C) log-probabilities."""
        scores = self.member_scores(*args, **kwargs)  # (M, N, C)
        if self.reads == "input":
            gate = logits(self.gate(*args, **kwargs))
        else:
            gate = self.gate(laid_out(scores, "log_probabilities"))
        return (gate.log_softmax(1).T[..., None] + scores.log_softmax(-1)).logsumexp(0)


def mixture(
    members: Members,
    data: Iterable[Any],
    *,
    gate: nn.Module | None = None,
    epochs: int = 30,
    lr: float = 0.01,
    weight_decay: float = 1e-3,
    folds: int = 5,
    seed: int = 0,
) -> Mixture:
    """Train a gate; the members stay as they are.

    Args:
        members: name -> model or a list of models; they are copied.
        data: labelled batches that no member was trained on; they are kept in memory.
        gate: a network that takes what the members take and returns (N, M) scores; a copy is trained. None: a linear
            layer on the members' log-probabilities, pulled to equal weights; where these, or one member alone, are as
            good on examples left out (within one standard error), they are the answer.
        epochs, lr, weight_decay: of the training of a gate that is given, as in ``training.Training`` (AdamW).
        folds: of the cross-validation that chooses how far a linear gate is pulled, ≥ 2.
        seed: of the training, or the folds.

    Raises:
        InputError: fewer than two folds, a gate that does not return (N, M), data as in :func:`.outputs.gather`, and
            all that training raises.

    Source: Jacobs, Jordan, Nowlan & Hinton, Neural Computation 3, 1991.
    """
    if folds < 2:
        raise InputError(f"mixture needs folds ≥ 2, not {folds}")
    copies = named(members)
    batches = list(each_batch(data))
    outputs = gather(copies, batches)
    own = (
        outputs.log_probabilities().gather(2, outputs.labels.expand(len(copies), -1)[..., None]).squeeze(2).T
    )  # (N, M)
    if gate is None:
        return Mixture(copies, _linear(outputs, own.double(), folds, seed), "scores").eval()

    def objective(model: nn.Module, x: Any, y: Any) -> Tensor:
        found = logits(model(*x) if isinstance(x, tuple) else model(**x) if isinstance(x, Mapping) else model(x))
        if found.shape != y.shape:
            raise InputError(f"the gate returns {tuple(found.shape)}; it must return {tuple(y.shape)}, one a member")
        return -(found.log_softmax(1) + y).logsumexp(1).mean()

    pairs = list(zip([x for x, _ in batches], own.split([len(y) for _, y in batches]), strict=True))
    training = Training(epochs=epochs, lr=lr, optimizer="adamw", weight_decay=weight_decay, seed=seed)
    return Mixture(copies, train(gate, pairs, objective, training), "input").eval()


def _linear(outputs: Outputs, own: Tensor, folds: int, seed: int) -> nn.Linear:
    """A linear gate on log-probabilities; ``own`` (N, M): those of the right class.

    Starts: equal weights, and each member alone.
    """
    table = laid_out(outputs.scores.double(), "log_probabilities")
    scale = float(table.std().clamp_min(1e-12))
    x = torch.cat([table / scale, torch.ones(len(table), 1, dtype=torch.float64)], 1)
    count = own.shape[1]

    def plain(biases: Tensor) -> Start:
        weight = torch.zeros(count, x.shape[1], dtype=torch.float64)
        weight[:, -1] = biases
        return lambda rows: weight

    def loss(weight: Tensor, rows: Tensor) -> Tensor:
        return -((x[rows] @ weight.T).log_softmax(1) + own[rows]).logsumexp(1)

    starts = [plain(biases) for biases in (torch.zeros(count), *(_ALONE * torch.eye(count)))]
    weight = shrunk(loss, starts, outputs.labels, folds=folds, seed=seed)
    linear = nn.Linear(table.shape[1], count)
    with torch.no_grad():
        linear.weight.copy_(weight[:, :-1] / scale)
        linear.bias.copy_(weight[:, -1])
    return linear
