"""MODEL, ``--weights`` and ``--input`` -> a model and its example inputs."""

from __future__ import annotations

from ..sources import models
from ..sources.models import ModelSource, OpenModel, build_structure, state_digest
from .output import note

__all__ = ["ModelSource", "OpenModel", "build_structure", "open_model", "open_trained", "state_digest"]


def open_model(source: ModelSource) -> OpenModel:
    """As ``sources.models.open_model``; the folder of an ensemble is a model too."""
    from .ensemble_folders import is_ensemble, open_ensemble

    return open_ensemble(source) if is_ensemble(source.model) else models.open_model(source)


def open_trained(source: ModelSource) -> OpenModel:
    """As ``open_model``, with a note where the weights are random ones."""
    opened = open_model(source)
    if source.brings_no_weights:
        note(f"{source.model} has random weights; give trained ones with --weights FILE")
    return opened
