"""The shared language of Vigie: assets, signals, readings, events, topics, risk, clock, errors. No I/O."""
