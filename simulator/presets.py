"""Ready plants as `plant.toml`: signals and modes come from the machine files, so they always agree."""

from __future__ import annotations

from collections.abc import Sequence

from plant.config import KindSpec
from plant.errors import DataError
from simulator.machines import KINDS, machine

_HEAD = """\
name = "{name}"
currency = "EUR"

[sites.lyon]
timezone = "Europe/Paris"
"""

_PEOPLE = """
[[crews]]
name = "mechanics"
site = "lyon"
skills = ["mechanic", "electrician"]
size = 4
cost_per_h = 55
alarm_budget_per_week = 12
[[crews.shifts]]
days = ["mon", "tue", "wed", "thu", "fri"]
start = 06:00:00
end = 22:00:00
[[crews.shifts]]
days = ["sat"]
start = 08:00:00
end = 16:00:00

[[crews]]
name = "operators"
site = "lyon"
skills = ["operator"]
size = 3
cost_per_h = 38
alarm_budget_per_week = 20

[[breaks]]
site = "lyon"
days = ["sun"]
start = 06:00:00
end = 14:00:00
note = "weekly cleaning"
"""

_PARTS = {
    "bearing": (3, 3.0, 180.0),
    "impeller": (2, 5.0, 640.0),
    "seal": (3, 3.0, 310.0),
}


def demo_plant_toml(pumps_per_line: int = 8) -> str:
    """Return a plant of two pump lines whose pumps fail every few weeks."""
    assets = [
        (f"lyon/l{line}/pump-{number}", "pump")
        for line in (1, 2)
        for number in range(1, pumps_per_line + 1)
    ]
    return plant_toml("demo", assets)


def mixed_plant_toml() -> str:
    """Return a plant of one line with two machines of every kind."""
    return plant_toml("mixed", [(f"lyon/l1/{k}-{i}", k) for k in KINDS for i in (1, 2)])


def machine_plant_toml(kind: str, number: int = 1) -> str:
    """Return a plant of one line with `number` machines of one kind."""
    return plant_toml(kind, [(f"lyon/l1/{kind}-{i}", kind) for i in range(1, number + 1)])


def preset_toml(name: str) -> str:
    """Return a preset by name: `demo`, `mixed`, or a machine's kind. Raises DataError for another."""
    if name == "demo":
        return demo_plant_toml()
    if name == "mixed":
        return mixed_plant_toml()
    try:
        return machine_plant_toml(name)
    except DataError as error:
        raise DataError(
            f"there is no preset {name[:64]!r}.", fix=f"Use demo or mixed. {error.fix}"
        ) from error


def plant_toml(name: str, assets: Sequence[tuple[str, str]]) -> str:
    """Write a plant of these (path, kind) machines on lines of the site lyon."""
    lines = sorted({path.split("/")[1] for path, _ in assets})
    kinds = {kind: machine(kind).kind_spec() for _, kind in assets}
    wanted = {
        part for spec in kinds.values() for mode in spec.modes.values() for part in mode.parts
    }
    text = [_HEAD.format(name=name)]
    for number, line in enumerate(lines):
        cost = (1200, 700)[number % 2]
        text.append(
            f"[sites.lyon.lines.{line}]\nstoppage_cost_per_h = {cost}\nmax_concurrent = 2\n"
        )
    text.append(_PEOPLE)
    for part in sorted(wanted):
        stock, lead, cost_each = _PARTS.get(part, (2, 4.0, 200.0))
        text.append(f"[parts.{part}]\nstock = {stock}\nlead_time_d = {lead}\ncost = {cost_each}\n")
    text.extend(_kind_toml(kind, spec) for kind, spec in sorted(kinds.items()))
    text.extend(f'[[assets]]\npath = "{path}"\nkind = "{kind}"\n' for path, kind in assets)
    return "\n".join(text)


def _kind_toml(name: str, spec: KindSpec) -> str:
    out = [f"[kinds.{name}]", f'label = "{spec.label}"']
    out += [f'running_signal = "{spec.running_signal}"', f"running_above = {spec.running_above}"]
    for signal, s in spec.signals.items():
        fields = s.model_dump(exclude_defaults=True)
        out += ["", f"[kinds.{name}.signals.{signal}]"]
        out += [f"{key} = {_value(value)}" for key, value in fields.items()]
    for code, m in spec.modes.items():
        out += ["", f"[kinds.{name}.modes.{code}]"]
        out += [f"{k} = {_value(v)}" for k, v in m.model_dump(exclude_defaults=True).items()]
    for place, b in spec.bearings.items():
        out += ["", f"[kinds.{name}.bearings.{place}]"]
        out += [f"{k} = {_value(v)}" for k, v in b.model_dump().items()]
    return "\n".join(out) + "\n"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
