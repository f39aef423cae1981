"""Measured claims: each prints JSON lines `{"bench", "case", figures}` on stdout, all else on stderr."""
