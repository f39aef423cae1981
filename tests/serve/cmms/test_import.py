from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import openpyxl
import pytest

from plant.clock import ManualClock
from plant.config import Plant
from plant.errors import ConfigError, DataError
from plant.times import to_iso
from serve.cmms import ColumnMapping, import_events, read_mapping
from store.sqlite import SqliteStore
from tests.serve.schedule.cases import NOW, plant

DATA = Path(os.environ.get("VIGIE_DATA", Path(__file__).parents[4] / "shared" / "data"))
FRENCH = """Machine;Date de fin;Type;Mode de défaillance;Constaté;Planifié;Durée;Notes;Numéro
lyon/l1/pump-0;04/03/2026 14:30;Réparation;bearing wear;dégradé;oui;4,5;« roulement »;17
lyon/l1/pump-1;0/1/00;Réparation;;sain;non;2;;18
lyon/l1/pump-9;05/03/2026;Réparation;;;;;;19
lyon/l1/pump-2;05/03/2026;Fête;;;;;;20
lyon/l1/pump-2;05/03/2026;Panne;XYZ;;;;;21
lyon/l1/pump-2;31/02/2026;Panne;;;;;;22
lyon/l1/pump-2;05/03/2026;Panne;;;;deux;;23
lyon/l1/pump-2;05/03/2026;Panne;;;;1;a;b;24
lyon/l1/pump-2;06/03/2026;Panne;CAV;;non;;'=cmd;25
"""


def _mapping(**more: object) -> ColumnMapping:
    return ColumnMapping.model_validate({"columns": {"found": "Constaté"}} | more)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_a_french_list_is_read_and_each_refused_row_has_its_reason(
    tmp_path: Path, encoding: str
) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(FRENCH.encode(encoding))
    done = import_events(None, file, plant(), _mapping())
    first, last = done.events
    assert (first.mode, first.found, first.planned, first.duration_h) == (
        "BRG",
        "degraded",
        True,
        4.5,
    )
    assert to_iso(first.ts_ms) == "2026-03-04T13:30:00Z"
    assert first.note == "« roulement »"
    assert first.key == "17"
    assert (last.kind, last.mode, last.planned, last.note) == ("failure", "CAV", False, "=cmd")
    assert {r.row: r.field for r in done.rejected} == {
        3: "done", 4: "asset", 5: "kind", 6: "mode", 7: "done", 8: "duration_h", 9: "",
    }  # fmt: skip
    assert done.dry_run


def test_importing_twice_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(FRENCH, encoding="utf-8")
    store = SqliteStore(tmp_path / "data", ManualClock(NOW))
    one = import_events(store, file, plant(), _mapping())
    two = import_events(store, file, plant(), _mapping())
    assert (one.new, one.repeated) == (2, 0)
    assert (two.new, two.repeated) == (0, 2)
    assert len(store.read_events(0, NOW)) == 2
    store.close()


def test_workbooks_with_real_dates_and_found_sheets(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.create_sheet("orders").append(["Asset", "Completed on", "Work type", "Hours", "WO number"])
    book["orders"].append(["pump-0", datetime(2026, 3, 4, 14, 30), "CM", 3, 7])
    book["orders"].append(["pump-0", None, "CM", 3, 8])
    file = tmp_path / "orders.xlsx"
    book.save(file)
    mapping = ColumnMapping(sheet="orders", asset_prefix="lyon/l1/")
    done = import_events(None, file, plant(), mapping)
    assert [to_iso(e.ts_ms) for e in done.events] == ["2026-03-04T13:30:00Z"]
    assert done.rejected[0].field == "done"
    with pytest.raises(DataError, match="no sheet"):
        import_events(None, file, plant(), ColumnMapping(sheet="x"))


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"PK\x03\x04rubbish", b"\x00\x01\x02", b"a,b\n1,2\n", b"asset\nx\n"]
)
def test_a_file_that_is_no_list_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(data)
    with pytest.raises(DataError):
        import_events(None, file, plant())


def test_a_wrong_mapping_names_table_and_key(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text('[columns]\nassett = "x"\n')
    with pytest.raises(ConfigError, match="assett"):
        read_mapping(file)
    file.write_text("[columns\n")
    with pytest.raises(ConfigError):
        read_mapping(file)


@pytest.mark.data
def test_real_work_orders_are_read_and_the_shifted_row_is_refused(tmp_path: Path) -> None:
    """100 anonymised orders of a mine: d/m/y, `0/1/00` for no date, one row with an unquoted comma."""
    file = DATA / "cmms" / "work_orders.csv"
    if not file.exists():
        pytest.skip(f"no data at {file}: set VIGIE_DATA")
    mapping = ColumnMapping(
        asset_prefix="mine/drills/",
        columns={
            "asset": "AssetID",
            "done": "Work_Order_Basic_Start_Date",
            "start": "ACtStartDate",
            "note": "ShortText",
            "key": "PONumber",
        },
    )
    mine = Plant.model_validate(
        {
            "sites": {"mine": {"timezone": "Australia/Perth", "lines": {"drills": {}}}},
            "kinds": {"drill": {}},
            "assets": [{"path": f"mine/drills/AID{n}", "kind": "drill"} for n in range(1, 10)],
        }
    )
    store = SqliteStore(tmp_path, ManualClock(NOW))
    done = import_events(store, file, mine, mapping)
    assert (len(done.events), done.new) == (99, 99)
    (rejected,) = done.rejected
    assert (rejected.row, rejected.field) == (57, "asset")
    assert {to_iso(e.ts_ms)[:4] for e in done.events} <= {"2001", "2006", "2007"}
    store.close()
