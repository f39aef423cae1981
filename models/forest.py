"""LightGBM trees, read from its text format, and their scores for all horizon bins at once.

A hazard model asks the same feature row once per bin, differing only in the bin's number. Asking
LightGBM means walking every tree K times; `leaf_masks` goes through each tree once.

The trees are read by a parser that trusts nothing: sizes, indices and the order of children (a child is
always newer than its parent and has no other, so no path can run in circles) are checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.leaf_masks import LeafMasks, Nodes, make_leaf_masks, sum_leaves
from plant.errors import ModelError

FloatArray = NDArray[np.float64]
_MAX_TREES = 20_000
#: How the names of inputs that hold the bin's number begin in a model's text.
HORIZON = "horizon_"
_MAX_LEAVES = 1024
_MOST = np.iinfo(np.int32).max
_GREATEST_LEAF = 1e9
_REAL = ("threshold", "leaf_value")  # all others are whole numbers
_PER_NODE = (
    "split_feature",
    "decision_type",
    "left_child",
    "right_child",
    "threshold",
    "internal_count",
)


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """All trees of one booster.

    features: inputs of the booster, of which the last `horizons` hold the bin's number. classes: trees
    of one round (1 unless multi-class).
    """

    nodes: Nodes
    features: int
    classes: int
    horizons: int
    _masks: LeafMasks = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "_masks", make_leaf_masks(self.nodes, self.features - self.horizons)
        )

    def predict_bins(self, X: FloatArray, bins: int) -> FloatArray:
        """Return raw scores float64[n, bins, classes] for rows X float64[n, F] and bins 0..bins-1.

        The booster's last inputs, after the F features, hold the bin's number.
        """
        own = self.features - self.horizons
        if X.ndim != 2 or X.shape[1] != own:
            raise ModelError(
                f"the model takes {own} features, the rows have {X.shape[-1]}.",
                fix="Score with the features the model was trained on.",
            )
        out = np.empty((len(X), self.classes, bins))
        sum_leaves(np.ascontiguousarray(X, dtype=np.float64), self._masks, out)
        return out.transpose(0, 2, 1)

    def predict(self, X: FloatArray) -> FloatArray:
        """Return raw scores float64[n] of a single-output booster without a bin among its inputs."""
        return self.predict_bins(X, 1)[:, 0, 0]


def parse_forest(text: str, *, by_bin: bool = True) -> Forest:
    """Read LightGBM's text model; `by_bin`: its last inputs, named so or else one, hold the bin's number.

    Raises ModelError when it is not one, or not one of ours.
    """
    header, *blocks = text.split("\nTree=")
    head = _pairs(header)
    try:
        features = int(head["max_feature_idx"]) + 1
        classes = int(head["num_tree_per_iteration"])
        names = head["feature_names"].split()
    except (KeyError, ValueError) as error:
        raise ModelError("the trees' header is damaged.") from error
    if not blocks or len(blocks) > _MAX_TREES or not 1 <= classes <= 64:
        raise ModelError("the trees are damaged.")
    parts: dict[str, list[FloatArray]] = {
        key: [] for key in (*_PER_NODE, "leaf_value", "leaf_count")
    }
    leaves = np.zeros(len(blocks) + 1, np.int64)
    first = 0
    for t, block in enumerate(blocks):
        tree = _tree(block, features)
        leaves[t + 1] = len(tree["leaf_value"])
        for side in ("left_child", "right_child"):
            tree[side] = np.where(tree[side] >= 0, tree[side] + first, tree[side])
        first += len(tree["threshold"])
        for key, column in tree.items():
            parts[key].append(column)
    joined = {key: np.concatenate(columns) for key, columns in parts.items()}
    whole = {key: column.astype(np.int32) for key, column in joined.items() if key not in _REAL}
    nodes = Nodes(
        first_leaf=np.cumsum(leaves).astype(np.int32),
        feature=whole["split_feature"],
        flags=whole["decision_type"],
        left=whole["left_child"],
        right=whole["right_child"],
        threshold=joined["threshold"],
        examples=whole["internal_count"],
        leaf=joined["leaf_value"],
        leaf_examples=whole["leaf_count"],
    )
    horizons = max(1, sum(name.startswith(HORIZON) for name in names)) if by_bin else 0
    return Forest(nodes, features, classes, horizons)


def _tree(block: str, features: int) -> dict[str, FloatArray]:
    """Return one tree's columns, its nodes' and its leaves'."""
    fields = _pairs(block.split("\n\n", 1)[0])
    try:
        count = int(fields["num_leaves"])
        if not 1 <= count <= _MAX_LEAVES or fields.get("num_cat", "0") != "0":
            raise ModelError("a tree has an impossible size.")
        tree = {"leaf_value": _numbers(fields["leaf_value"], count)}
        if np.any(np.abs(tree["leaf_value"]) > _GREATEST_LEAF):
            raise ModelError("a leaf's value is impossible.")
        if count == 1:  # LightGBM says nothing else of it
            return tree | {key: np.zeros(0) for key in _PER_NODE} | {"leaf_count": np.ones(1)}
        tree["leaf_count"] = _numbers(fields["leaf_count"], count, real=False)
        tree |= {key: _numbers(fields[key], count - 1, real=key in _REAL) for key in _PER_NODE}
    except (KeyError, ValueError) as error:
        raise ModelError("a tree is damaged.") from error
    children = np.concatenate([tree["left_child"], tree["right_child"]])
    each_once = np.concatenate([np.arange(-count, 0), np.arange(1, count - 1)])
    older = np.tile(np.arange(count - 1), 2) >= children
    if np.any(np.sort(children) != each_once) or np.any(older & (children >= 0)):
        raise ModelError("a tree's nodes do not form a tree.")
    if np.any(tree["split_feature"] < 0) or np.any(tree["split_feature"] >= features):
        raise ModelError("a tree splits on a feature that does not exist.")
    if np.any(tree["decision_type"].astype(np.int64) & 1):
        raise ModelError("a tree has a categorical split, which this code never makes.")
    return tree


def split_gains(text: str, features: int) -> FloatArray:
    """Return what the splits on each feature gained, float64[features].

    Read here too: LightGBM's own reader trusts the sizes a file claims. Raises ModelError as `parse_forest`.
    """
    total = np.zeros(features)
    for block in text.split("\nTree=")[1:]:
        tree = _tree(block, features)
        splits = len(tree["split_feature"])
        try:
            gain = (
                _numbers(_pairs(block.split("\n\n", 1)[0])["split_gain"], splits) if splits else 0
            )
        except (KeyError, ValueError) as error:
            raise ModelError("a tree's gains are damaged.") from error
        np.add.at(total, tree["split_feature"].astype(np.int64), gain)
    return total


def _pairs(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _numbers(text: str, count: int, real: bool = True) -> FloatArray:
    values = np.array(text.split(), dtype=np.float64)
    if not real and (np.any(np.abs(values) > _MOST) or np.any(values % 1)):
        raise ValueError("not whole")
    if len(values) != count or np.any(np.isnan(values)):
        raise ValueError("wrong count")
    return values
