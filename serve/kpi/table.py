"""The figures as CSV: one row per group and figure."""

from __future__ import annotations

import csv
import io

from serve.exports.cells import safe_cell
from serve.kpi.count import Report, rows

_COLUMNS = (
    "group", "name", "label", "value", "unit", "low", "high", "n", "n_of", "enough", "method",
    "formula", "source", "note",
)  # fmt: skip


def write_csv(report: Report) -> bytes:
    """Return the report's figures as UTF-8 CSV with the mark that spreadsheets need."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([*_COLUMNS, "simulated", "run_ids"])
    runs = safe_cell(" ".join(report.run_ids), limit=500)
    for row in rows(report):
        cells = [row[name] for name in _COLUMNS]
        texts = [safe_cell(c) if isinstance(c, str) else "" if c is None else c for c in cells]
        writer.writerow([*texts, report.simulated, runs])
    return out.getvalue().encode("utf-8-sig")
