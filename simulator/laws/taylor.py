"""Tool life after Taylor: V T^n = C.

F. W. Taylor, "On the art of cutting metals", Trans. ASME 28 (1907) 31-350: n = 1/8 for high-speed steel.
n = 0.25 is usual for carbide (S. Kalpakjian, S. Schmid, "Manufacturing Engineering and Technology",
ch. 21: 0.2-0.5). A tool is worn out at a flank land of 0.3 mm (ISO 3685:1993).
"""

from __future__ import annotations


def life(speed: float, c: float, n: float) -> float:
    """Return the tool's life in minutes at a cutting speed in m/min."""
    return float((c / speed) ** (1.0 / n))


def stress(speed: float, n: float = 0.25) -> float:
    """Return the pace of tool wear at a fraction of the rated cutting speed."""
    return float(speed ** (1.0 / n))
