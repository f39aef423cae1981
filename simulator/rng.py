"""Random numbers by name: every stream has a key, so any piece can be drawn by itself, anywhere.

A generator is seeded by a hash of its stream's name and always starts at its beginning, so no state
is shared: a block of readings is the same whether one process draws it or four, in any order, today
or tomorrow. SFC64 (C. Doty-Humphrey, PractRand) is numpy's fastest generator for normal numbers,
twice as fast as the counter-based Philox, and the hash gives it the same freedom.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np


def keyed(*key: str | int) -> np.random.Generator:
    """Return the generator of the stream named by `key`, always at its beginning."""
    digest = blake2b("\x1f".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.SFC64(int.from_bytes(digest, "little")))
