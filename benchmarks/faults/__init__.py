"""Faults that Vigie must survive, each as `run(quick, seed)` returning the figures of its line."""
