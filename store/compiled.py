"""How the loops over messages and columns are compiled."""

from __future__ import annotations

from numba import njit

#: Without counting who uses an array: else each call among the loops, and there are several for every
#: number of a message, pays an atomic instruction for each array it is given, more than half of the walk's
#: time. Such a loop can make no arrays of its own.
compiled = njit(cache=True, nogil=True, _nrt=False)
