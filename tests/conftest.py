"""Fixtures shared by all tests: the real servers."""

pytest_plugins = ["tests.servers"]
