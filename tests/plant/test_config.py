from __future__ import annotations

import pytest

from plant.asset import AssetPath
from plant.config import parse_plant
from plant.errors import ConfigError

GOOD = """
name = "lyon works"
[sites.lyon]
timezone = "Europe/Paris"
[sites.lyon.lines.l1]
stoppage_cost_per_h = 2500
[kinds.pump]
label = "pump"
[kinds.pump.signals.vibration_rms]
unit = "mm/s"
low = 0
high = 50
[kinds.pump.modes.BRD]
label = "bearing wear"
parts = {bearing = 1}
[[assets]]
path = "lyon/l1/pump-3"
kind = "pump"
commissioned = 2026-01-31T00:00:00Z
[[crews]]
name = "mechanics"
site = "lyon"
shifts = [{start = 06:00:00, end = 14:00:00}]
[[breaks]]
site = "lyon"
days = ["sun"]
start = 06:00:00
end = 18:00:00
[parts.bearing]
stock = 2
"""


def test_a_plant_is_read() -> None:
    plant = parse_plant(GOOD)
    pump = AssetPath("lyon", "l1", "pump-3")
    assert plant.kind_of(pump) == "pump"
    assert plant.kind_spec(pump).signals["vibration_rms"].unit == "mm/s"
    assert plant.line_spec(pump).stoppage_cost_per_h == 2500
    assert str(plant.timezone("lyon")) == "Europe/Paris"


def test_a_machine_nobody_configured_has_a_kind_too() -> None:
    stranger = AssetPath("paris", "l9", "fan")
    plant = parse_plant(GOOD)
    assert plant.kind_of(stranger) == "unknown"
    assert plant.kind_spec(stranger).signals == {}
    assert str(plant.timezone("paris")) == "UTC"


def test_a_changed_plant_knows_its_own_machines() -> None:
    plant = parse_plant(GOOD)
    pump = AssetPath("lyon", "l1", "pump-3")
    assert plant.asset(pump) is plant.assets[0]
    later = plant.model_copy(update={"assets": ()})
    assert later.asset(pump) is None
    assert plant.asset(pump) is plant.assets[0]
    assert plant == parse_plant(GOOD)


def test_an_empty_file_is_a_plant() -> None:
    assert parse_plant("").assets == ()


@pytest.mark.parametrize(
    ("old", "new", "table", "key"),
    [
        ('unit = "mm/s"', 'unti = "mm/s"', "kinds.pump.signals.vibration_rms", "unti"),
        ("high = 50", 'high = "much"', "kinds.pump.signals.vibration_rms", "high"),
        ("low = 0", "low = 60", "kinds.pump.signals", "vibration_rms"),
        ('kind = "pump"', 'kind = "pmup"', "assets[0]", "kind"),
        ('path = "lyon/l1/pump-3"', 'path = "lyon/l2/pump-3"', "assets[0]", "path"),
        ('path = "lyon/l1/pump-3"', 'path = "lyon/pump-3"', "assets[0]", "path"),
        ("Europe/Paris", "Europe/Lyon", "sites.lyon", "timezone"),
        ("parts = {bearing = 1}", "parts = {belt = 1}", "kinds.pump.modes.BRD", "parts"),
        ('days = ["sun"]', 'days = ["dimanche"]', "breaks[0]", "days[0]"),
        ("start = 06:00:00\nend = 18:00:00", "", "", "breaks[0]"),
        ('label = "bearing wear"', "", "kinds.pump.modes.BRD", "label"),
        ("2026-01-31T00:00:00Z", "2026-01-31T00:00:00", "", "assets[0]"),
    ],
)
def test_a_mistake_names_file_table_key_and_fix(old: str, new: str, table: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_plant(GOOD.replace(old, new, 1), file="plant.toml")
    error = caught.value
    assert (error.file, error.table, error.key) == ("plant.toml", table, key)
    assert error.fix
    assert error.exit_code == 2


def test_what_is_not_toml_is_refused() -> None:
    with pytest.raises(ConfigError, match="not valid TOML"):
        parse_plant("[sites")
