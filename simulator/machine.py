"""What a kind of machine is: signals, failure modes, and the physics from hidden state to readings.

A kind is one file in simulator/machines/: a subclass of Machine with its tables and `measure`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from plant.config import BearingSpec, KindSpec, ModeSpec, SignalSpec
from simulator.wear import Array, DrawPath

#: A column of one block, or one number where it is the same for the whole block.
Value = Array | float


@dataclass(frozen=True, slots=True)
class Operation:
    """How a machine is run: speed (0 stopped, 1 rated), load (1 rated), ambient temperature."""

    speed: float
    load: float
    ambient_c: float = 20.0


@dataclass(frozen=True, slots=True)
class Mode:
    """One failure mode: how it wears, what stresses it, what its repair takes.

    `stress` gives equivalent hours of wear per hour of running at an operation (1 at rated).
    `visible` is False for a shock, which shows nothing beforehand.
    """

    spec: ModeSpec
    draw: DrawPath
    stress: Callable[[Operation], float] = lambda operation: 1.0
    visible: bool = True


@dataclass(frozen=True, slots=True)
class State:
    """The hidden state of one machine over a block of samples, for `Machine.measure`.

    speed, load: fractions of rated; heat: warm-up state (0 cold, 1 at full-load temperature);
    ambient: deg C; wear: damage per mode code, 0 to 1; noise: standard normal [signals, samples];
    trait: standard normal numbers that make this machine differ from its sisters.
    """

    speed: Value
    load: Value
    heat: Value
    ambient: Value
    wear: Mapping[str, Value]
    noise: Array
    trait: Array


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal of a kind: what plant.toml says of it, and the decimals its sensor resolves."""

    spec: SignalSpec
    decimals: int = 3


class Machine(ABC):
    """A kind of machine. Subclasses fill the tables and write `measure`; nothing else is needed."""

    name: ClassVar[str]
    label: ClassVar[str]
    signals: ClassVar[dict[str, Signal]]
    modes: ClassVar[dict[str, Mode]]
    bearings: ClassVar[dict[str, BearingSpec]] = {}
    running_signal: ClassVar[str]
    running_above: ClassVar[float]
    #: Hours after which the warm-up has done 63 % of its way (first-order heating).
    warm_up_h: ClassVar[float] = 0.6

    @abstractmethod
    def measure(self, s: State) -> list[Array]:
        """Return one column per signal, in the order of `signals`, noise included."""

    def kind_spec(self) -> KindSpec:
        """Return what plant.toml says of this kind."""
        return KindSpec(
            label=self.label,
            signals={name: signal.spec for name, signal in self.signals.items()},
            modes={code: mode.spec for code, mode in self.modes.items()},
            bearings=dict(self.bearings),
            running_signal=self.running_signal,
            running_above=self.running_above,
        )
