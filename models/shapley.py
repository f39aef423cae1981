"""TreeSHAP: what each feature adds to a forest's score, leaf by leaf.

In one leaf of value v the features on its path play a game. A feature of which nothing is known
lets a share z of examples through, as in training; a known one lets the row through (o = 1) or not
(o = 0). The Shapley value of feature i is v (o_i - z_i) times a sum over all sets S of the others of
|S|! (d - |S| - 1)! / d!, o in S and z outside (Lundberg et al. 2020, DOI 10.1038/s42256-019-0138-9; leaf
by leaf Mitchell et al. 2022, DOI 10.7717/peerj-cs.880). No S with a failed feature counts, so their z
stand before the sum, and what remains are the coefficients of a polynomial, the product of (z + y)
over those passed; dividing takes one of them out (Yu et al. 2022, DOI 10.48550/arXiv.2209.08192).
LightGBM's `pred_contrib` gives the same but for rounding, in twice the time.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.forest import Forest
from models.leaf_masks import FloatArray, Int32Array, as_tested, tree_of


class Paths(NamedTuple):
    """The paths from the roots to all leaves of trees that have any nodes, int32 but where told.

    value: the leaf's, float64. A step is twice a node, and one more if the path goes left there;
    step_part: which of its leaf's parts it belongs to. The parts are its features, with the share z
    of examples that pass their tests, float64. weight: k! (d - k - 1)! / d! at [d, k], float64.
    """

    value: FloatArray
    first_step: Int32Array
    step: Int32Array
    step_part: Int32Array
    first_part: Int32Array
    part_feature: Int32Array
    part_share: FloatArray
    weight: FloatArray


def shapley(forest: Forest, X: FloatArray, bins: NDArray[np.int64]) -> FloatArray:
    """Return each feature's share of the raw score of each row in its bin, float64[n, F].

    X: float64[n, F]; bins: int64[n]. What the bin's number itself adds is not among them.
    """
    own = forest.features - forest.horizons
    out = np.zeros((len(X), forest.features))
    rows = np.ascontiguousarray(X, dtype=np.float64)
    _add_up(rows, bins.astype(np.float64), forest.nodes, _paths(forest), out)
    return out[:, :own]


@lru_cache(maxsize=32)
def _paths(forest: Forest) -> Paths:
    laid, most = _lay_paths(forest.nodes, tree_of(forest.nodes))
    weight = np.zeros((most + 1, most + 1))
    for d in range(1, most + 1):
        weight[d, 0] = 1.0 / d
        for k in range(1, d):
            weight[d, k] = weight[d, k - 1] * k / (d - k)
    return Paths._make([*laid, weight])


@njit(cache=True)
def _lay_paths(nodes, tree):  # type: ignore[no-untyped-def] # numba
    """Return all of `Paths` but the weights, and the greatest number of parts of a leaf."""
    above, depth = np.full(len(nodes.left), -1), np.ones(len(nodes.left), np.int64)
    above_leaf, steps, leaves = np.full(len(nodes.leaf), -1), 0, 0
    for i in range(len(nodes.left)):  # children are newer than their parents
        for child in (nodes.left[i], nodes.right[i]):
            if child >= 0:
                above[child], depth[child] = i, depth[i] + 1
            else:
                above_leaf[nodes.first_leaf[tree[i]] + ~child] = i
                steps += depth[i]
                leaves += 1
    value = np.empty(leaves)
    first_step, first_part = np.zeros(leaves + 1, np.int32), np.zeros(leaves + 1, np.int32)
    steps_taken, step_part = np.empty(steps, np.int32), np.empty(steps, np.int32)
    feature, share = np.empty(steps, np.int32), np.empty(steps)
    n = step = part = most = 0
    for leaf in range(len(nodes.leaf)):
        i, examples = above_leaf[leaf], nodes.leaf_examples[leaf]
        if i < 0:
            continue  # a tree without tests
        child = ~(leaf - nodes.first_leaf[tree[i]])
        while i >= 0:
            mine = first_part[n]
            while mine < part and feature[mine] != nodes.feature[i]:
                mine += 1
            if mine == part:
                feature[part], share[part] = nodes.feature[i], 1.0
                part += 1
            share[mine] *= examples / max(nodes.examples[i], 1)
            steps_taken[step] = 2 * i + (nodes.left[i] == child)
            step_part[step] = mine - first_part[n]
            step += 1
            child, examples, i = i, nodes.examples[i], above[i]
        value[n] = nodes.leaf[leaf]
        most = max(most, part - first_part[n])
        n += 1
        first_step[n], first_part[n] = step, part
    laid = value, first_step, steps_taken, step_part, first_part, feature[:part], share[:part]
    return laid, most


@njit(cache=True, nogil=True)
def _add_up(X, bins, nodes, paths, out):  # type: ignore[no-untyped-def] # numba
    """Add each leaf's shares to out float64[n, inputs]; inputs past those of X hold the bin's number."""
    most = len(paths.weight)
    takes, passed = np.empty(2 * len(nodes.feature), np.bool_), np.empty(most, np.bool_)
    which, z, poly = np.empty(most + 1, np.int64), np.empty(most + 1), np.empty(most + 1)
    for row in range(len(X)):
        _take_tests(X[row], bins[row], nodes, takes)
        for n in range(len(paths.value)):
            passed[: paths.first_part[n + 1] - paths.first_part[n]] = True
            for s in range(paths.first_step[n], paths.first_step[n + 1]):
                passed[paths.step_part[s]] &= takes[paths.step[s]]
            _share(paths, n, passed, which, z, poly, out[row])


@njit(cache=True, nogil=True)
def _take_tests(x, bin_, nodes, takes):  # type: ignore[no-untyped-def] # numba
    """Find out which steps a row takes, bool[2 N]."""
    for i in range(len(nodes.feature)):
        f = nodes.feature[i]
        value = x[f] if f < len(x) else bin_
        left = as_tested(value, nodes.flags[i] >> 2 & 3, nodes.flags[i] & 2) <= nodes.threshold[i]
        takes[2 * i], takes[2 * i + 1] = not left, left


@njit(cache=True, nogil=True, inline="always")  # a call for each leaf costs as much again
def _share(paths, n, passed, which, z, poly, out):  # type: ignore[no-untyped-def] # numba
    """Add the shares of one leaf to out float64[inputs]; which, z, poly are space to work in."""
    first, count = paths.first_part[n], paths.first_part[n + 1] - paths.first_part[n]
    weight, value, degree = paths.weight[count], paths.value[n], 0
    for p in range(count):
        share = paths.part_share[first + p]
        which[degree], z[degree] = first + p, share
        degree += passed[p]
        value *= 1.0 if passed[p] else share
    poly[0] = 1.0
    for j in range(degree):  # times (z + y)
        poly[j + 1] = poly[j]
        for k in range(j, 0, -1):
            poly[k] = z[j] * poly[k] + poly[k - 1]
        poly[0] *= z[j]
    if degree < count:  # all that failed have the same
        together = 0.0
        for k in range(degree + 1):
            together += weight[k] * poly[k]
        for p in range(count):
            out[paths.part_feature[first + p]] -= 0.0 if passed[p] else value * together
    for j in range(degree):
        quotient, alone = 0.0, 0.0  # divided by (z + y), from the highest power down
        for k in range(degree - 1, -1, -1):
            quotient = poly[k + 1] - z[j] * quotient
            alone += weight[k] * quotient
        out[paths.part_feature[which[j]]] += value * (1.0 - z[j]) * alone
