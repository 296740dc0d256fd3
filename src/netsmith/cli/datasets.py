"""``--data`` and ``--eval`` -> batches that fit the model's example input."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..errors import InputError
from ..sources.datasets import validation_of
from .output import note

if TYPE_CHECKING:
    from torch import nn

    from ..checks.classes import Classes
    from .models import OpenModel

__all__ = ["evaluation", "given_data", "open_batches", "validation_of"]


def open_batches(
    name: str,
    example_inputs: Any,
    *,
    mean: str | None = None,
    std: str | None = None,
    shuffle: bool = False,
    seed: int = 0,
) -> Iterable[Any]:
    """Batches of a data set; image files are brought to the size and channels of the example input.

    Args:
        name: as ``netsmith.data.open_data`` takes it.
        example_inputs: of the model; a tensor (N, C, H, W) says how large images have to be.
        mean, std: "0.485,0.456,0.406": one number a channel, for pixels in 0..1.
        shuffle, seed: as in ``open_data``.

    Raises:
        InputError: mean or std are no numbers; and all that ``open_data`` raises.
    """
    from ..data.fitting import IMAGE_FILES, fitting_batches

    means, stds = numbers("--mean", mean), numbers("--std", std)
    if name.startswith(IMAGE_FILES) and mean is None and std is None:
        note("pixels are in 0..1; if the model was trained on normalized images, give --mean and --std")
    return fitting_batches(name, example_inputs, mean=means, std=stds, shuffle=shuffle, seed=seed)


def given_data(
    opened: OpenModel, data: str | None, evaluate_on: str | None, mean: str | None, std: str | None, seed: int
) -> dict[str, Any]:
    """``data`` and ``evaluate`` of a recipe, as far as the command line names them; raises as what makes them."""
    found: dict[str, Any] = {}
    if data is not None:
        found["data"] = open_batches(data, opened.example_inputs, mean=mean, std=std, shuffle=True, seed=seed)
    measured = evaluate_on or validation_of(data or "")
    if measured is not None:
        found["evaluate"] = evaluation(opened, measured, mean, std)
    return found


def numbers(option: str, text: str | None) -> list[float] | None:
    """``"0.485,0.456,0.406"`` -> [0.485, 0.456, 0.406].

    Raises:
        InputError: no such list.
    """
    try:
        return None if text is None else [float(piece) for piece in text.split(",")]
    except ValueError:
        raise InputError(f"{option} {text!r}: write one number a channel, e.g. {option} 0.485,0.456,0.406") from None


class Evaluation:
    """Scores models on labelled data, and keeps how each did class by class, for the report."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = batches
        self._classes: WeakKeyDictionary[nn.Module, Classes] = WeakKeyDictionary()

    def __call__(self, model: nn.Module) -> dict[str, float]:
        from ..checks.classes import by_class
        from ..checks.classification import answers_of, scores_of

        answers = answers_of(model, self._batches)
        self._classes[model] = by_class(answers)
        return scores_of(answers)

    def classes(self, model: nn.Module) -> Classes | None:
        """Of the last call with this model; None where there was none."""
        return self._classes.get(model)


def evaluation(opened: OpenModel, measured: str, mean: str | None, std: str | None) -> Evaluation:
    """Scores a model on labelled data; what cannot be measured on is refused at once, before the work."""
    labelled = open_batches(measured, opened.example_inputs, mean=mean, std=std)
    Evaluation(islice(labelled, 1))(opened.model)
    return Evaluation(labelled)
