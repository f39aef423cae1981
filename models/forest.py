"""LightGBM trees walked for all horizon bins at once.

A hazard model asks the same feature row once per bin, differing only in the bin's number. Asking
LightGBM means walking every tree K times; here a walk carries a *range* of bins and splits it only
where the tree splits on the bin, so most of the path is walked once. Sums are taken in the order of
the trees in double precision, as LightGBM does, and the results are equal to its own bit for bit.

The trees are read from LightGBM's text format by a parser that trusts nothing: sizes, indices and
the order of children (a child is always newer than its parent, so no walk can run in circles) are checked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from plant.errors import ModelError

FloatArray = NDArray[np.float64]
Int32Array = NDArray[np.int32]
_MAX_TREES = 20_000
#: How the names of inputs that hold the bin's number begin in a model's text.
HORIZON = "horizon_"
_ZERO = 1e-35  # LightGBM's kZeroThreshold
#: Rows that go through a tree before the next one is taken up: its nodes stay in the processor's cache.
_ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """All trees of one booster, nodes and leaves end to end.

    root: int32[T] first node of each tree, -1 for a stump; nodes: feature, flags, left, right int32[N],
    threshold float64[N]; a negative child ~l is leaf l; leaf: float64[L]. first_leaf: int32[T].
    features: inputs of the booster, of which the last `horizons` hold the bin's number. classes: trees
    of one round (1 unless multi-class).
    """

    root: Int32Array
    first_leaf: Int32Array
    feature: Int32Array
    flags: Int32Array
    left: Int32Array
    right: Int32Array
    threshold: FloatArray
    leaf: FloatArray
    features: int
    classes: int
    horizons: int = 1

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
        rows = np.ascontiguousarray(X, dtype=np.float64)
        out = np.zeros((len(rows), self.classes, bins))
        _walk(
            rows,
            self.root,
            self.first_leaf,
            self.feature,
            self.flags,
            self.left,
            self.right,
            self.threshold,
            self.leaf,
            own,
            out,
        )
        return out.transpose(0, 2, 1)

    def predict(self, X: FloatArray) -> FloatArray:
        """Return raw scores float64[n] of a single-output booster without a bin among its inputs."""
        shell = replace(self, features=self.features + 1, horizons=1)
        return np.asarray(shell.predict_bins(X, 1)[:, 0, 0], dtype=np.float64)


@njit(cache=True, nogil=True)
def _walk(X, root, first_leaf, feature, flags, left, right, threshold, leaf, own, out):  # type: ignore[no-untyped-def]  # noqa: PLR0912 - compiled by numba: one loop, no calls
    n, classes, bins = out.shape
    nodes = np.empty(256, np.int32)
    lows = np.empty(256, np.int32)
    highs = np.empty(256, np.int32)
    for start in range(0, n, _ROWS_AT_ONCE):
        stop = min(n, start + _ROWS_AT_ONCE)
        for t in range(len(root)):
            c = t % classes
            base = first_leaf[t]
            if root[t] < 0:
                for i in range(start, stop):
                    for k in range(bins):
                        out[i, c, k] += leaf[base]
                continue
            for i in range(start, stop):
                depth = 1
                nodes[0], lows[0], highs[0] = root[t], 0, bins
                while depth > 0:
                    depth -= 1
                    node, low, high = nodes[depth], lows[depth], highs[depth]
                    while node >= 0:
                        f = feature[node]
                        if f >= own:  # the bin's number
                            cut = min(max(np.int32(np.floor(threshold[node])) + 1, low), high)
                            if cut == low:
                                node = right[node]
                            elif cut == high:
                                node = left[node]
                            else:  # the range parts: the right half waits, the left goes on
                                nodes[depth], lows[depth], highs[depth] = right[node], cut, high
                                depth += 1
                                high = cut
                                node = left[node]
                            continue
                        x = X[i, f]
                        missing = (flags[node] >> 2) & 3
                        if np.isnan(x) and missing != 2:
                            x = 0.0
                        if (missing == 1 and abs(x) <= _ZERO) or (missing == 2 and np.isnan(x)):
                            go_left = (flags[node] & 2) > 0
                        else:
                            go_left = x <= threshold[node]
                        node = left[node] if go_left else right[node]
                    value = leaf[base + ~node]
                    for k in range(low, high):
                        out[i, c, k] += value


def parse_forest(text: str) -> Forest:
    """Read LightGBM's text model. Raises ModelError when it is not one, or not one of ours."""
    header, *blocks = text.split("\nTree=")
    head = _pairs(header)
    try:
        features = int(head["max_feature_idx"]) + 1
        classes = int(head["num_tree_per_iteration"])
        names = head["feature_names"].split()
        horizons = max(1, sum(name.startswith(HORIZON) for name in names))
    except (KeyError, ValueError) as error:
        raise ModelError("the trees' header is damaged.") from error
    if not blocks or len(blocks) > _MAX_TREES or not 1 <= classes <= 64:
        raise ModelError("the trees are damaged.")
    node_parts: dict[str, list[NDArray[np.float64]]] = {
        key: []
        for key in ("split_feature", "decision_type", "left_child", "right_child", "threshold")
    }
    leaves: list[FloatArray] = []
    root = np.full(len(blocks), -1, np.int32)
    first_leaf = np.zeros(len(blocks), np.int32)
    n_nodes = n_leaves = 0
    for t, block in enumerate(blocks):
        tree = _pairs(block.split("\n\n", 1)[0])
        try:
            count = int(tree["num_leaves"])
            if not 1 <= count <= 65_536 or tree.get("num_cat", "0") != "0":
                raise ModelError("a tree has an impossible size.")
            values = _numbers(tree["leaf_value"], count)
            first_leaf[t] = n_leaves
            leaves.append(values)
            n_leaves += count
            if count == 1:
                continue
            part = {key: _numbers(tree[key], count - 1) for key in node_parts}
        except (KeyError, ValueError) as error:
            raise ModelError("a tree is damaged.") from error
        own = np.arange(count - 1)
        for side in ("left_child", "right_child"):
            child = part[side]
            inner = child >= 0
            if (
                np.any(child >= count - 1)
                or np.any(child < -count)
                or np.any(child[inner] <= own[inner])
            ):
                raise ModelError("a tree's nodes do not form a tree.")
            part[side] = np.where(inner, child + n_nodes, child)
        if np.any(part["split_feature"] < 0) or np.any(part["split_feature"] >= features):
            raise ModelError("a tree splits on a feature that does not exist.")
        if np.any((part["decision_type"].astype(np.int64) & 1) != 0):
            raise ModelError("a tree has a categorical split, which this code never makes.")
        for key, parts in node_parts.items():
            parts.append(part[key])
        root[t] = n_nodes
        n_nodes += count - 1
    joined = {k: np.concatenate(v) if v else np.zeros(0) for k, v in node_parts.items()}
    as_int = {k: joined[k].astype(np.int32) for k in joined if k != "threshold"}
    return Forest(
        root=root,
        first_leaf=first_leaf,
        feature=as_int["split_feature"],
        flags=as_int["decision_type"],
        left=as_int["left_child"],
        right=as_int["right_child"],
        threshold=np.ascontiguousarray(joined["threshold"]),
        leaf=np.ascontiguousarray(np.concatenate(leaves)),
        features=features,
        classes=classes,
        horizons=horizons,
    )


def _pairs(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _numbers(text: str, count: int) -> FloatArray:
    values = np.array(text.split(), dtype=np.float64)
    if len(values) != count or np.any(np.isnan(values)):
        raise ValueError("wrong count")
    return values
