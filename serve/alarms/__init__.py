"""Alarms people trust: raised late enough to be true, early enough to act, once, and never forgotten."""
