"""Two hundred names that somebody will try one day."""

from __future__ import annotations

import itertools

_SEEDS = [
    "=cmd()", "=1+1", "+1", "-1", "@SUM(A1)", "</script><script>alert(1)</script>", "../", "..",
    "../../etc/passwd", ".", "", " ", "\r\n", "a\r\nb", "\x00", "a\x00b", "+", "#", "a/b", "a/+/b",
    "$SYS", "\u202egnp.exe", "\u200b", "ａ", "é", "Ω", "a" * 10_000, "a" * 65, "'; DROP TABLE x;--",
    '"', "\\", "%s%s%n", "{{7*7}}", "${jndi:ldap://x}", "`id`", "$(id)", "|calc", "\t", "\x7f",
    "\ud7ff",
]  # fmt: skip


def hostile_names() -> list[str]:
    """Formulas, markup, paths, line ends, wildcards, directions, shells, and 10 kB."""
    wrapped = [f"pump{seed}" for seed in _SEEDS] + [f"{seed}3" for seed in _SEEDS]
    doubled = [a + b for a, b in itertools.islice(itertools.product(_SEEDS, _SEEDS[:5]), 120)]
    return (_SEEDS + wrapped + doubled)[:200]
