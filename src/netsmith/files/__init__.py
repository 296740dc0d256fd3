"""In and out: models to folders and back, bit by bit, without pickle.

``save`` and ``load`` are the way of most; ``load_plan`` reads the plan alone; ``plan_to_json`` and ``plan_from_json``
carry a plan as text; ``save_ensemble`` and ``load_ensemble`` are for many models that are one. ``export`` writes a
model for other engines.
"""

from .ensemble_loading import load_ensemble, members_to_build
from .ensemble_saving import save_ensemble
from .exporting import Exported, export
from .loading import load, load_plan
from .plan_file import plan_from_json, plan_to_json
from .saving import save

__all__ = [
    "Exported",
    "export",
    "save",
    "load",
    "load_plan",
    "plan_to_json",
    "plan_from_json",
    "save_ensemble",
    "load_ensemble",
    "members_to_build",
]
