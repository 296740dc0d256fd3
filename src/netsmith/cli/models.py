"""MODEL, ``--weights`` and ``--input`` -> a model and its example inputs."""

from __future__ import annotations

from ..sources.models import ModelSource, OpenModel, build_structure, open_model, state_digest
from .output import note

__all__ = ["ModelSource", "OpenModel", "build_structure", "open_model", "open_trained", "state_digest"]


def open_trained(source: ModelSource) -> OpenModel:
    """As ``open_model``, with a note where the weights are random ones."""
    opened = open_model(source)
    if source.brings_no_weights:
        note(f"{source.model} has random weights; give trained ones with --weights FILE")
    return opened
