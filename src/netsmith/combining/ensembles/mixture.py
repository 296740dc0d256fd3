"""Mixtures: a small gate says, example by example, how much each member counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from ...data.running import each_batch, logits
from ...errors import InputError
from ...training import Training
from ...training.train import train
from .container import Ensemble, Members, named
from .outputs import gather
from .stack import laid_out


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
    seed: int = 0,
) -> Mixture:
    """Train a gate; the members stay as they are.

    Args:
        members: name -> model or a list of models; they are copied.
        data: labelled batches that no member was trained on; they are kept in memory.
        gate: a network that takes what the members take and returns (N, M) scores; a copy is trained. None: a linear
            layer on the members' log-probabilities, which starts at equal weights.
        epochs, lr, weight_decay, seed: of the training, as in ``training.Training`` (AdamW).

    Raises:
        InputError: a gate that does not return (N, M), data as in :func:`.outputs.gather`, and all that training
            raises.

    Source: Jacobs, Jordan, Nowlan & Hinton, Neural Computation 3, 1991.
    """
    copies = named(members)
    batches = list(each_batch(data))
    outputs = gather(copies, batches)
    own = (
        outputs.log_probabilities().gather(2, outputs.labels.expand(len(copies), -1)[..., None]).squeeze(2).T
    )  # (N, M)
    sizes = [len(y) for _, y in batches]
    if gate is None:
        features = laid_out(outputs.scores, "log_probabilities")
        linear = nn.Linear(features.shape[1], len(copies))
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
        start: nn.Module = linear
        inputs: list[Any] = list(features.split(sizes))
    else:
        start, inputs = gate, [x for x, _ in batches]

    def objective(model: nn.Module, x: Any, y: Any) -> Tensor:
        found = logits(model(*x) if isinstance(x, tuple) else model(**x) if isinstance(x, Mapping) else model(x))
        if found.shape != y.shape:
            raise InputError(f"the gate returns {tuple(found.shape)}; it must return {tuple(y.shape)}, one a member")
        return -(found.log_softmax(1) + y).logsumexp(1).mean()

    pairs = list(zip(inputs, own.split(sizes), strict=True))
    training = Training(epochs=epochs, lr=lr, optimizer="adamw", weight_decay=weight_decay, seed=seed)
    trained = train(start, pairs, objective, training)
    return Mixture(copies, trained, "scores" if gate is None else "input").eval()
