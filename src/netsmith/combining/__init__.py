"""Many models: ensembles of trained models that are one module."""

from .ensembles import blend, boost, cascade, evaluate, mixture, parallel, select, stack, tree_ensemble

__all__ = ["blend", "boost", "cascade", "evaluate", "mixture", "parallel", "select", "stack", "tree_ensemble"]
