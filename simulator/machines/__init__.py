"""The kinds of machines, one file each; a new file is listed here and nowhere else."""

from plant.errors import DataError
from simulator.machine import Kinds, Machine
from simulator.machines.pump import Pump

KINDS = Kinds()
KINDS.add(Pump())


def machine(kind: str) -> Machine:
    """Return the kind named `kind`. Raises DataError naming the kinds there are."""
    try:
        return KINDS.by_name[kind]
    except KeyError:
        names = ", ".join(sorted(KINDS.by_name))
        raise DataError(
            f"the simulator has no machine of kind {kind[:64]!r}.",
            fix=f"Use one of {names}, or add a file to simulator/machines.",
        ) from None
