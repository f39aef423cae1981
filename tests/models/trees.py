"""Random trees, and the slow, obvious ways through them."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np

from models.leaf_masks import Nodes

#: Values and thresholds that meet: repeated, missing, beyond all others.
AWKWARD = (-math.inf, -2.0, -1e-36, 0.0, 1e-36, 0.5, 1.0, 1.0, 3.0, math.inf)


def random_nodes(seed: int, trees: int, features: int, horizons: int, most: int) -> Nodes:
    """Grow trees of 1 to `most` leaves; inputs past the features hold the bin's number."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list[float]] = {name: [] for name in Nodes._fields}
    columns["first_leaf"].append(0)
    for _ in range(trees):
        leaves = int(rng.integers(1, most + 1))
        base = len(columns["feature"])
        free: list[tuple[int, str]] = []
        for i in range(leaves - 1):
            if free:  # a random place for the new node, as LightGBM splits a random leaf
                parent, side = free.pop(int(rng.integers(len(free))))
                columns[side][parent] = base + i
            f = int(rng.integers(features + horizons))
            columns["feature"].append(f)
            by_bin = f >= features
            columns["threshold"].append(
                float(rng.integers(-1, 7)) + 0.5 if by_bin else float(rng.choice(AWKWARD))
            )
            columns["flags"].append(
                2 if by_bin else int(rng.integers(3)) << 2 | int(rng.integers(2)) << 1
            )
            columns["left"].append(0)
            columns["right"].append(0)
            columns["examples"].append(0)
            free += [(base + i, "left"), (base + i, "right")]
        for leaf, (parent, side) in enumerate(free):
            columns[side][parent] = ~leaf
        counts = rng.integers(1, 50, leaves)
        columns["leaf"] += rng.normal(size=leaves).tolist()
        columns["leaf_examples"] += counts.tolist()
        columns["first_leaf"].append(len(columns["leaf"]))
        for i in range(base + leaves - 2, base - 1, -1):
            children = (int(columns["left"][i]), int(columns["right"][i]))
            columns["examples"][i] = sum(
                columns["examples"][child] if child >= 0 else counts[~child] for child in children
            )
    real = ("threshold", "leaf")
    return Nodes(
        **{
            name: np.array(values, np.float64 if name in real else np.int32)
            for name, values in columns.items()
        }
    )


def root_of(nodes: Nodes, tree: int) -> int:
    """Return a tree's first node, -1 when it has but a leaf."""
    first, end = nodes.first_leaf[tree : tree + 2].tolist()
    return int(first - tree) if end - first > 1 else -1


def goes_left(nodes: Nodes, node: int, x: float) -> bool:
    """Decide as LightGBM does."""
    missing, default_left = int(nodes.flags[node]) >> 2 & 3, bool(nodes.flags[node] & 2)
    if math.isnan(x) and missing != 2:
        x = 0.0
    if math.isnan(x) or (missing == 1 and abs(x) <= 1e-35):
        return default_left
    return bool(x <= nodes.threshold[node])


def walk(nodes: Nodes, tree: int, x: np.ndarray) -> float:
    """Return the value of the leaf that a row with its bin's number ends in."""
    node = root_of(nodes, tree)
    if node < 0:
        return float(nodes.leaf[nodes.first_leaf[tree]])
    while node >= 0:
        left = goes_left(nodes, node, float(x[nodes.feature[node]]))
        node = int((nodes.left if left else nodes.right)[node])
    return float(nodes.leaf[nodes.first_leaf[tree] + ~node])


def expected(nodes: Nodes, tree: int, x: np.ndarray, known: frozenset[int]) -> float:
    """Return the mean when only some inputs are known: the others let examples through as they came."""

    def below(node: int) -> float:
        if node < 0:
            return float(nodes.leaf[nodes.first_leaf[tree] + ~node])
        left, right = int(nodes.left[node]), int(nodes.right[node])
        if nodes.feature[node] in known:
            return below(left if goes_left(nodes, node, float(x[nodes.feature[node]])) else right)
        return sum(below(child) * examples(child) / nodes.examples[node] for child in (left, right))

    def examples(child: int) -> int:
        own = nodes.first_leaf[tree] + ~child
        return int(nodes.examples[child] if child >= 0 else nodes.leaf_examples[own])

    root = root_of(nodes, tree)
    return below(root) if root >= 0 else float(nodes.leaf[nodes.first_leaf[tree]])


def shapley(nodes: Nodes, x: np.ndarray) -> np.ndarray:
    """Return each input's Shapley value of a row with its bin's number, by all subsets of the others."""
    inputs = len(x)
    out = np.zeros(inputs)
    for tree in range(len(nodes.first_leaf) - 1):
        for i in range(inputs):
            others = [j for j in range(inputs) if j != i]
            for size in range(inputs):
                weight = math.factorial(size) * math.factorial(inputs - size - 1)
                for chosen in combinations(others, size):
                    without = frozenset(chosen)
                    gain = expected(nodes, tree, x, without | {i}) - expected(
                        nodes, tree, x, without
                    )
                    out[i] += weight / math.factorial(inputs) * gain
    return out
