"""From readings to feature rows: mergeable rollups, windows, one job for live and backfill."""
