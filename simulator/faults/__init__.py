"""What goes wrong between a sound machine and its reading: sensors, networks, clocks, assets."""
