"""``--data`` and ``--eval`` -> batches that fit the model's example input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..errors import InputError
from .output import note

if TYPE_CHECKING:
    from torch import nn

    from ..checks.classes import Classes
    from ..data import Pixels
    from .models import OpenModel

IMAGE_FILES = ("imagefolder:", "parquet:")


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
    from ..data import open_data

    pixels = None
    if name.startswith(IMAGE_FILES):
        pixels = _pixels(example_inputs, _numbers("--mean", mean), _numbers("--std", std))
        if mean is None and std is None:
            note("pixels are in 0..1; if the model was trained on normalized images, give --mean and --std")
    return open_data(name, pixels=pixels, shuffle=shuffle, seed=seed)


def validation_of(data: str) -> str | None:
    """What to measure on when only ``--data`` is given: a split that the repair does not see, where one is known."""
    return "digits:validation" if data in ("digits", "digits:train") else None


def _pixels(example_inputs: Any, mean: list[float] | None, std: list[float] | None) -> Pixels | None:
    from ..data import Pixels

    shape: Sequence[int] = getattr(example_inputs, "shape", ())
    if len(shape) != 4:
        return None if mean is None and std is None else Pixels(mean=mean, std=std)
    return Pixels(mode="L" if shape[1] == 1 else "RGB", mean=mean, std=std, resize=(int(shape[2]), int(shape[3])))


def _numbers(option: str, text: str | None) -> list[float] | None:
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
