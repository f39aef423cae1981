"""The only wiring: commands, settings, logs."""
