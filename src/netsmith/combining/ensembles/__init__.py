"""Ensembles of any trained models, each one ``nn.Module``: side by side, one after another, blended, stacked.

Every result saves and loads without pickle (``netsmith.files.save_ensemble`` and ``load_ensemble``), exports with
``torch.export``, is measured like any other module, and can teach a single network (``recovery.distil``).
"""

from .blend import blend
from .boost import Additive, boost, fitting
from .calibration import calibration_error, temperature
from .cascade import Cascade
from .cascading import cascade
from .container import Ensemble
from .mixture import Mixture, mixture
from .outputs import Outputs, gather
from .parallel import Parallel, parallel
from .quality import Quality, evaluate
from .recorded import judge
from .select import Candidate, Selection, select
from .stack import Stack, out_of_fold, stack
from .trees import TreeEnsemble, tree_ensemble
from .wrapped import Wrapped

__all__ = [
    "Additive",
    "Candidate",
    "Cascade",
    "Ensemble",
    "Mixture",
    "Outputs",
    "Parallel",
    "Quality",
    "Selection",
    "Stack",
    "TreeEnsemble",
    "Wrapped",
    "blend",
    "boost",
    "calibration_error",
    "cascade",
    "evaluate",
    "fitting",
    "gather",
    "judge",
    "mixture",
    "out_of_fold",
    "parallel",
    "select",
    "stack",
    "temperature",
    "tree_ensemble",
]
