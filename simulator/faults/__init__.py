"""What goes wrong between a sound machine and its reading: sensors, networks, clocks, assets."""

from simulator.faults.injector import Injector
from simulator.faults.spec import Fault

__all__ = ["Fault", "Injector"]
