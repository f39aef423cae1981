"""The kinds of machines, one file each; a new file is listed here and nowhere else."""

from plant.errors import DataError
from simulator.machine import Machine
from simulator.machines.compressor import Compressor
from simulator.machines.conveyor import Conveyor
from simulator.machines.fan import Fan
from simulator.machines.gearmotor import Gearmotor
from simulator.machines.pump import Pump
from simulator.machines.spindle import Spindle

#: Every kind by its name.
KINDS: dict[str, Machine] = {
    kind.name: kind for kind in (Pump(), Gearmotor(), Conveyor(), Spindle(), Compressor(), Fan())
}


def machine(kind: str) -> Machine:
    """Return the kind named `kind`. Raises DataError naming the kinds there are."""
    try:
        return KINDS[kind]
    except KeyError:
        names = ", ".join(sorted(KINDS))
        raise DataError(
            f"the simulator has no machine of kind {kind[:64]!r}.",
            fix=f"Use one of {names}, or add a file to simulator/machines.",
        ) from None
