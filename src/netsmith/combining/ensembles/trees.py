"""Gradient-boosted trees of scikit-learn as a module: arrays that torch walks through; nothing is pickled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import InputError


class TreeEnsemble(nn.Module):
    """Binary trees in arrays; every example walks down all of them at once.

    Attributes:
        feature, left, right: (T, nodes) buffers, int64. A leaf is its own left and right child.
        threshold: (T, nodes) float64; an example goes left where its feature is ≤ the threshold.
        value: (T, nodes) float64, what a leaf adds to its tree's class.
        tree_class: (T,) int64.
        base: (C,) float64, the scores before the first tree.
        depth: steps from the root to the deepest leaf.
        inputs: number of features.
    """

    feature: Tensor
    left: Tensor
    right: Tensor
    threshold: Tensor
    value: Tensor
    tree_class: Tensor
    base: Tensor

    def __init__(self, trees: int, nodes: int, classes: int, depth: int, inputs: int) -> None:
        super().__init__()
        self.depth, self.inputs = depth, inputs
        for name in ("feature", "left", "right"):
            self.register_buffer(name, torch.zeros(trees, nodes, dtype=torch.int64))
        for name in ("threshold", "value"):
            self.register_buffer(name, torch.zeros(trees, nodes, dtype=torch.float64))
        self.register_buffer("tree_class", torch.zeros(trees, dtype=torch.int64))
        self.register_buffer("base", torch.zeros(classes, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, C) float32 scores: logits, as scikit-learn's ``decision_function`` has them."""
        x = x.flatten(1).float().double()  # scikit-learn rounds features to float32, and keeps thresholds in float64
        tree = torch.arange(self.feature.shape[0], device=x.device)
        node = torch.zeros(x.shape[0], self.feature.shape[0], dtype=torch.int64, device=x.device)  # (N, T)
        for _ in range(self.depth):
            goes_left = x.gather(1, self.feature[tree, node]) <= self.threshold[tree, node]
            node = torch.where(goes_left, self.left[tree, node], self.right[tree, node])
        found = self.base.expand(x.shape[0], -1).index_add(1, self.tree_class, self.value[tree, node])
        return found.float()


def tree_ensemble(fitted: Any) -> TreeEnsemble:
    """A fitted ``sklearn.ensemble.GradientBoostingClassifier`` as a module with the same scores.

    Two classes give the scores (0, s), s scikit-learn's ``decision_function``.

    Args:
        fitted: trained on labels 0..C-1, with the usual first guess (``init=None`` or ``"zero"``) and log-loss.

    Raises:
        InputError: another kind of model, one that is not fitted, other labels, or an ``init`` of one's own.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    if not isinstance(fitted, GradientBoostingClassifier) or not hasattr(fitted, "estimators_"):
        raise InputError(
            f"tree_ensemble reads a fitted sklearn.ensemble.GradientBoostingClassifier, not {type(fitted).__name__}; "
            "for other models use Wrapped"
        )
    classes = len(fitted.classes_)
    if list(fitted.classes_) != list(range(classes)) or fitted.loss != "log_loss" or fitted.init not in (None, "zero"):
        raise InputError("tree_ensemble needs labels 0..C-1, loss='log_loss' and init=None or 'zero'")
    grown = [(k, tree.tree_) for round_ in fitted.estimators_ for k, tree in enumerate(round_)]
    made = TreeEnsemble(
        len(grown),
        max(tree.node_count for _, tree in grown),
        classes,
        max(tree.max_depth for _, tree in grown),
        int(fitted.n_features_in_),
    )
    for row, (k, tree) in enumerate(grown):
        size, itself = tree.node_count, np.arange(tree.node_count)
        leaf = tree.children_left < 0
        made.feature[row, :size] = torch.from_numpy(np.where(leaf, 0, tree.feature).astype(np.int64))
        made.left[row, :size] = torch.from_numpy(np.where(leaf, itself, tree.children_left).astype(np.int64))
        made.right[row, :size] = torch.from_numpy(np.where(leaf, itself, tree.children_right).astype(np.int64))
        made.threshold[row, :size] = torch.from_numpy(tree.threshold.astype(np.float64))
        made.value[row, :size] = torch.from_numpy(fitted.learning_rate * tree.value[:, 0, 0])
        made.tree_class[row] = 1 if classes == 2 else k
    made.base.copy_(_first_guess(fitted, classes))
    return made.eval()


def _first_guess(fitted: Any, classes: int) -> Tensor:
    """Scores before the first tree: those of any example, less what the trees add."""
    anything = np.zeros((1, fitted.n_features_in_), dtype=np.float32)
    added = np.zeros(fitted.estimators_.shape[1])
    for round_ in fitted.estimators_:
        added += [fitted.learning_rate * float(tree.predict(anything)[0]) for tree in round_]
    base = torch.from_numpy(np.atleast_1d(fitted.decision_function(anything)[0]) - added)
    return torch.cat([torch.zeros(1, dtype=torch.float64), base]) if classes == 2 else base
