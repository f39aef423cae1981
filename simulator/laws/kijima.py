"""Imperfect repair: virtual age after Kijima.

M. Kijima, "Some results for repairable systems with general repair", J. Appl. Probab. 26 (1989) 89-102,
doi:10.2307/3214319. A unit of virtual age v lives on as a new one would that had reached age v.
Type I: the n-th repair takes back damage of the last run only, v' = v + q x. Type II: v' = q (v + x).
q = 0 is as good as new, q = 1 as bad as old.
"""

from __future__ import annotations


def virtual_age(age_h: float, run_h: float, q: float, kind: int = 2) -> float:
    """Return the virtual age after a run of `run_h` from virtual age `age_h` and a repair."""
    return age_h + q * run_h if kind == 1 else q * (age_h + run_h)
