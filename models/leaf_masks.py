"""Scores of trees by crossing out leaves instead of walking (QuickScorer).

A test that fails at a node rules out every leaf on its left. Each tree keeps a bit for each leaf, from
left to right; failed tests clear bits, and the lowest bit left is the leaf one ends in (Lucchese et al.
2015, DOI 10.1145/2766462.2767733). Tests of one feature are sorted by threshold, so those that fail
are a prefix of them, found by bisection; 64 rows at a time are done by the processor's vector units
(Lucchese et al. 2016, DOI 10.1145/2911451.2914758). No branch depends on a row's values, which is what
walks lose most of their time to.

A horizon bin is not a value of the row: the tests of the bin's number are known beforehand. They part
the bins of a tree into ranges with a mask for each, so the features' tests are made once for all bins.

Leaves are added up in the order of the trees in double precision, as LightGBM does: sums equal its
own bit for bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]
Uint32Array = NDArray[np.uint32]
_ZERO = 1e-35  # LightGBM's kZeroThreshold
_ZEROS, _NAN = 1, 2  # what LightGBM takes for missing
_WORD = 32  # leaves in a word
_LANES = 64  # rows at a time
_ALL = np.uint32(0xFFFFFFFF)


class Nodes(NamedTuple):
    """The nodes of all trees, one after the other, as LightGBM writes them but with numbers over all trees.

    first_leaf: int32[T + 1], which tells the nodes too: a tree has one fewer, its root first. Of every node
    int32[N] feature, flags, left, right (a negative child ~l is leaf l of its tree), threshold
    float64[N]; leaf: float64[L].
    examples, leaf_examples: how many went through a node or ended in a leaf, int32.
    """

    first_leaf: Int32Array
    feature: Int32Array
    flags: Int32Array
    left: Int32Array
    right: Int32Array
    threshold: FloatArray
    examples: Int32Array
    leaf: FloatArray
    leaf_examples: Int32Array


def tree_of(nodes: Nodes) -> Int64Array:
    """Return the tree of each node, int64[N]."""
    leaves = np.diff(nodes.first_leaf)
    return np.repeat(np.arange(len(leaves)), leaves - 1)


class LeafMasks(NamedTuple):
    """The trees as `sum_leaves` needs them.

    Inputs are features as one kind of node reads them: of which feature, what is missing (0 nothing,
    1 zeros, 2 NaN) and whether that goes left, int32[I]. first_test: int32[I + 1]; tests, by input and
    threshold: threshold float64[M], the word it clears bits of int32[M], the bits it leaves uint32[M].
    first_word: int32[T + 1] of each tree. Ranges of bins: first_range int32[T + 1], first_bin
    int32[R]; range_mask uint32, one for each word of the tree, beginning at range_word int32[R].
    leaf: float64[words, 32].
    """

    input_feature: Int32Array
    input_missing: Int32Array
    input_left: Int32Array
    first_test: Int32Array
    test_threshold: FloatArray
    test_word: Int32Array
    test_mask: Uint32Array
    first_word: Int32Array
    first_range: Int32Array
    first_bin: Int32Array
    range_word: Int32Array
    range_mask: Uint32Array
    leaf: FloatArray


def make_leaf_masks(nodes: Nodes, own: int) -> LeafMasks:
    """Lay trees out for `sum_leaves`; features from the `own`-th on hold the bin's number."""
    first_leaf = nodes.first_leaf.astype(np.int64)
    words = -(-np.diff(first_leaf) // _WORD)
    first_word = np.concatenate([[0], np.cumsum(words)])
    tree = tree_of(nodes)
    start, ruled_out, place = _leaves_from_left(nodes.first_leaf, tree, nodes.left, nodes.right)
    leaf = np.zeros((first_word[-1], _WORD))
    of_tree = np.repeat(np.arange(len(words)), np.diff(first_leaf))
    leaf[first_word[of_tree] + place // _WORD, place % _WORD] = nodes.leaf
    by_bin = nodes.feature >= own
    kind = (nodes.feature.astype(np.int64) * 4 + (nodes.flags >> 2 & 3)) * 2 + (
        nodes.flags >> 1 & 1
    )
    order = np.lexsort((nodes.threshold, kind))
    order = order[~by_bin[order]]
    node, word, mask = _cleared(order, start, ruled_out)
    kinds, first_test = np.unique(kind[node], return_index=True)
    tests = np.flatnonzero(by_bin)
    # The first whole number that is not k <= threshold.
    fails_from = np.floor(np.clip(nodes.threshold[tests], -1, 1e6)).astype(np.int64) + 1
    first_range, first_bin, range_word, range_mask = _ranges(
        tests, fails_from, tree, start, ruled_out, words
    )
    return LeafMasks(
        (kinds >> 3).astype(np.int32),
        (kinds >> 1 & 3).astype(np.int32),
        (kinds & 1).astype(np.int32),
        np.append(first_test, len(node)).astype(np.int32),
        nodes.threshold[node],
        (first_word[tree[node]] + word).astype(np.int32),
        mask,
        first_word.astype(np.int32),
        first_range,
        first_bin,
        range_word,
        range_mask,
        leaf,
    )


@njit(cache=True)
def _leaves_from_left(first_leaf, tree, left, right):  # type: ignore[no-untyped-def] # numba
    """Return each node's leftmost leaf and number of leaves on its left; each leaf's place."""
    n = len(left)
    leaves = np.zeros(n, np.int64)  # below each node
    for i in range(n - 1, -1, -1):  # children are newer than their parents
        leaves[i] = (leaves[left[i]] if left[i] >= 0 else 1) + (
            leaves[right[i]] if right[i] >= 0 else 1
        )
    start, on_left = np.zeros(n, np.int64), np.zeros(n, np.int64)
    place = np.zeros(first_leaf[-1], np.int64)
    for i in range(n):
        base = first_leaf[tree[i]]
        on_left[i] = leaves[left[i]] if left[i] >= 0 else 1
        for child, first in ((left[i], start[i]), (right[i], start[i] + on_left[i])):
            if child >= 0:
                start[child] = first
            else:
                place[base + ~child] = first
    return start, on_left, place


def _cleared(
    order: Int64Array, start: Int64Array, count: Int64Array
) -> tuple[Int64Array, Int64Array, Uint32Array]:
    """Return which bits the failed tests of these nodes leave: node int64[M], word int64[M], mask uint32[M].

    Words are those of the tree; a node takes several places when its leaves span words.
    """
    first, last = start[order] // _WORD, (start[order] + count[order] - 1) // _WORD
    spans = last - first + 1
    node = np.repeat(order, spans)
    begin = np.repeat(np.cumsum(spans) - spans, spans)
    word = np.repeat(first, spans) + np.arange(len(node)) - begin
    low = np.maximum(start[node] - word * _WORD, 0)
    high = np.minimum(start[node] + count[node] - word * _WORD, _WORD)
    bits = ((np.int64(1) << high) - 1) & ~((np.int64(1) << low) - 1)
    return node, word, (~bits & 0xFFFFFFFF).astype(np.uint32)


@njit(cache=True)
def _ranges(tests, fails_from, tree, start, ruled_out, words):  # type: ignore[no-untyped-def] # numba
    """Return the ranges of bins that trees tell apart: first_range, first_bin, range_word, range_mask.

    tests: int64[H] the nodes that test the bin, ascending; fails_from:
    int64[H] the first bin that fails each.
    """
    first_range = np.zeros(len(words) + 1, np.int32)
    most = len(words) + len(tests)
    first_bin, range_word = np.empty(most, np.int32), np.empty(most, np.int32)
    masks = np.full(np.sum(words) + np.sum(words[tree[tests]]), _ALL)
    stop = r = at = 0
    for t in range(len(words)):
        begin = stop
        while stop < len(tests) and tree[tests[stop]] == t:
            stop += 1
        bins = np.unique(np.append(np.maximum(fails_from[begin:stop], 0), 0))
        for bin_ in bins:
            for j in range(begin, stop):
                if fails_from[j] <= bin_:
                    leaf = start[tests[j]]
                    for bit in range(leaf, leaf + ruled_out[tests[j]]):
                        masks[at + bit // _WORD] &= ~(np.uint32(1) << np.uint32(bit % _WORD))
            first_bin[r], range_word[r] = bin_, at
            at += words[t]
            r += 1
        first_range[t + 1] = r
    return first_range, first_bin[:r], range_word[:r], masks[:at]


@intrinsic
def _lowest_bit(typingctx, word):  # type: ignore[no-untyped-def] # numba
    """Return the number of the lowest bit set in a uint32; 32 when none is."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.zext(
            builder.cttz(args[0], context.get_constant(types.boolean, 0)), args[0].type
        )

    return types.uint32(types.uint32), codegen


@njit(cache=True, nogil=True)
def sum_leaves(X, masks, out):  # type: ignore[no-untyped-def] # numba
    """Add up the leaves rows end in. X: float64[n, F]; out: float64[n, classes, bins], set."""
    n, classes, bins = out.shape
    alive = np.empty((masks.first_word[-1], _LANES), np.uint32)
    total = np.empty((classes, bins, _LANES))
    x, failed = np.empty(_LANES), np.empty(_LANES, np.int32)
    for first in range(0, n, _LANES):
        rows = X[first : first + _LANES]
        alive[:, : len(rows)] = _ALL
        for i in range(len(masks.input_feature)):
            _read(rows, masks, i, x)
            _test(masks, i, x, failed, len(rows), alive)
        total[:] = 0.0
        _add(masks, alive, len(rows), x, total)
        for lane in range(len(rows)):
            out[first + lane] = total[:, :, lane]


@njit(cache=True, nogil=True)
def _read(rows, masks, i, x):  # type: ignore[no-untyped-def] # numba
    """Set x to the rows' values of an input; missing ones to what passes all of its tests, or none."""
    feature, missing = masks.input_feature[i], masks.input_missing[i]
    for lane in range(len(rows)):
        x[lane] = as_tested(rows[lane, feature], missing, masks.input_left[i])


@njit(cache=True, nogil=True)
def as_tested(value, missing, left):  # type: ignore[no-untyped-def] # numba
    """Return a value as it is compared; a missing one passes all tests if those go `left`, else none."""
    if missing == _NAN:
        gone = np.isnan(value)
    else:
        value = 0.0 if np.isnan(value) else value
        gone = missing == _ZEROS and abs(value) <= _ZERO
    if gone:
        return -np.inf if left else np.nan
    return value


@njit(cache=True, nogil=True)
def _test(masks, i, x, failed, lanes, alive):  # type: ignore[no-untyped-def] # numba
    """Clear the bits of the tests of an input that each row fails: a prefix of them."""
    first, span = masks.first_test[i], masks.first_test[i + 1] - masks.first_test[i]
    failed[:lanes] = 0
    while span > 1:  # the same steps for all rows
        half = span >> 1
        for lane in range(lanes):
            last = first + failed[lane] + half - 1
            failed[lane] += 0 if x[lane] <= masks.test_threshold[last] else half
        span -= half
    most = 0
    for lane in range(lanes):
        failed[lane] += 0 if x[lane] <= masks.test_threshold[first + failed[lane]] else 1
        most = max(most, failed[lane])
    for j in range(most):
        word, mask = masks.test_word[first + j], masks.test_mask[first + j]
        for lane in range(lanes):
            alive[word, lane] &= mask if j < failed[lane] else _ALL


@njit(cache=True, nogil=True)
def _add(masks, alive, lanes, value, total):  # type: ignore[no-untyped-def] # numba
    """Add each tree's leaf to every bin of its class, total float64[classes, bins, lanes]."""
    classes, bins = total.shape[:2]
    for t in range(len(masks.first_word) - 1):
        begin, end = masks.first_word[t], masks.first_word[t + 1]
        last_range = masks.first_range[t + 1] - 1
        for r in range(masks.first_range[t], last_range + 1):
            high = bins if r == last_range else min(masks.first_bin[r + 1], bins)
            for word in range(end - 1, begin - 1, -1):  # the leftmost leaf comes last, and stays
                mask = masks.range_mask[masks.range_word[r] + word - begin]
                for lane in range(lanes):
                    left = alive[word, lane] & mask
                    leaf = masks.leaf[word, _lowest_bit(left) & (_WORD - 1)]
                    value[lane] = leaf if left else value[lane]
            for k in range(masks.first_bin[r], high):
                for lane in range(lanes):
                    total[t % classes, k, lane] += value[lane]
