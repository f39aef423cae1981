"""One port, two adapters: readings, rollups, events and risks by asset and time."""
