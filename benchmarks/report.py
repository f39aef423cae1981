"""What all benchmarks share: JSON lines out, the shared data in."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def emit(bench: str, case: str, **figures: Any) -> None:
    """Print one line of figures."""
    print(json.dumps({"bench": bench, "case": case, **figures}), flush=True)


def say(text: str) -> None:
    """Tell a person how far it is."""
    print(text, file=sys.stderr, flush=True)


def data_dir() -> Path:
    """Return the shared data sets (VIGIE_DATA); end plainly where they are absent."""
    folder = Path(os.environ.get("VIGIE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        raise SystemExit(f"The data sets are not at {folder}: set VIGIE_DATA.")
    return folder
