"""From feature rows to a survival curve of the time to failure."""
