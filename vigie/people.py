"""Who types the command."""

from __future__ import annotations

import getpass


def login() -> str:
    """Return the login name, for the audit trail; `unknown` where the system has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
