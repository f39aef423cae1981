"""Python's search for circles of objects, tuned to a process that takes messages."""

from __future__ import annotations

import gc


def spare_collector() -> None:
    """Look for circles less often: messages come and go by the thousand and hold none.

    At Python's own thresholds the search takes a tenth of the processor time. Call it when everything is
    loaded: what is there now is never looked through again.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
