from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmgraph.errors import InputError
from mmgraph.formats.tables.cells import moments, prints_moment
from mmgraph.formats.tables.defects import LISTED, Defects
from mmgraph.formats.tables.mapping import InteractionTable, NodeTable, TablesMapping
from mmgraph.formats.tables.reading import ImportedTables, import_tables

ISO = {
    "2024-01-01": dt.datetime(2024, 1, 1),
    "2024-01-01T10": dt.datetime(2024, 1, 1, 10),
    "2024-01-01 10:00": dt.datetime(2024, 1, 1, 10),
    "2024-01-01T10:00:00": dt.datetime(2024, 1, 1, 10),
    "2024-01-01T10:00:00Z": dt.datetime(2024, 1, 1, 10),
    "2024-01-01T10:00:00+02:00": dt.datetime(2024, 1, 1, 8),
    "2024-01-01T10:00:00.5-0530": dt.datetime(2024, 1, 1, 15, 30, 0, 500_000),
    "2024-01-01T10:00:00.1234567Z": dt.datetime(2024, 1, 1, 10, 0, 0, 123_456),
    "2024-02-29": dt.datetime(2024, 2, 29),
}


def microseconds(moment: dt.datetime) -> int:
    return (moment - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)


def make(folder: Path, times: list[str], *, parquet: bool = False) -> ImportedTables:
    """A table of items, and one of interactions of users u0, u1, ... with one of them at the given times."""
    (folder / "items.csv").write_text("id\np\n")
    users = [f"u{i}" for i in range(len(times))]
    if parquet:
        pq.write_table(pa.table({"u": users, "i": ["p"] * len(times), "t": times}), folder / "buys.parquet")
    else:
        lines = [f"{user},p,{time}\n" for user, time in zip(users, times, strict=True)]
        (folder / "buys.csv").write_text("".join(["u,i,t\n", *lines]))
    file = "buys.parquet" if parquet else "buys.csv"
    mapping = TablesMapping(
        nodes=(NodeTable("items.csv", type="item"),),
        interactions=(InteractionTable(file, "u", "i", time="t", relation="buys"),),
    )
    return import_tables(folder, mapping, defects=Defects("quarantine"))


def times_of(found: ImportedTables) -> dict[str, float]:
    relation = found.raw.relations["buys"]
    ids = found.raw.node_ids.values
    return dict(zip(ids[relation.edge_index[0]], relation.attributes["time"].tolist(), strict=True))


def test_all_forms_of_iso_may_be_mixed(tmp_path: Path) -> None:
    found = make(tmp_path, list(ISO))
    assert len(found.defects) == 0
    assert times_of(found) == {f"u{i}": microseconds(moment) for i, moment in enumerate(ISO.values())}


@pytest.mark.parametrize("parquet", [False, True])
def test_a_bad_date_is_set_aside_and_told_by_its_row(tmp_path: Path, parquet: bool) -> None:
    good = [time for time in ISO if "." not in time]
    found = make(tmp_path, [*good, "unknown", "2024-02-30", "17"], parquet=parquet)
    file = tmp_path / ("buys.parquet" if parquet else "buys.csv")
    assert [str(defect) for defect in found.defects] == [
        f"{file}, row {len(good) + 1 + i}: column t: expected a date as in other rows, got '{value}'"
        for i, value in enumerate(["unknown", "2024-02-30", "17"])
    ]
    times = times_of(found)
    assert {f"u{i}": microseconds(ISO[time]) for i, time in enumerate(good)}.items() <= times.items()
    assert all(times[f"u{len(good) + i}"] != times[f"u{len(good) + i}"] for i in range(3))  # missing


def test_bad_cells_beyond_the_list_are_counted(tmp_path: Path) -> None:
    for value, one in (("2024-01-01", "date"), ("5", "number")):
        found = make(tmp_path, [value] * (LISTED + 21) + ["?"] * (LISTED + 20))
        assert found.defects.by_kind() == {"mixed-types": LISTED + 20}
        assert len(list(found.defects)) == LISTED
        assert f"expected a {one} as in other rows, got '?' (first in row {LISTED + 22:,})" in found.defects.lines()[0]


@pytest.mark.parametrize(
    ("times", "got"),
    [(["2024-01-01", "x", "y"], "'x'"), (["2024-01-01", "7"], "both"), (["7", "later", "x"], "'later'")],
)
def test_a_column_of_neither_is_refused_without_blaming_a_good_cell(tmp_path: Path, times: list[str], got: str) -> None:
    found = make(tmp_path, times)
    assert found.defects.lines() == [f"{tmp_path / 'buys.csv'}: column t: expected numbers or dates, got {got}"]
    with pytest.raises(InputError, match=f"got {got}$"):
        import_tables(tmp_path, found.mapping)


def test_zones_in_one_file_and_none_in_another(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("id\np\n")
    (tmp_path / "a.csv").write_text("u,i,t\nu1,p,2024-01-01T10:00:00+02:00\n")
    (tmp_path / "b.csv").write_text("u,i,t\nu2,p,2024-01-01T08:00:00\n")
    tables = [InteractionTable(f, "u", "i", time="t", relation="buys") for f in ("a.csv", "b.csv")]
    mapping = TablesMapping(nodes=(NodeTable("items.csv", type="item"),), interactions=tuple(tables))
    moment = microseconds(dt.datetime(2024, 1, 1, 8))
    assert times_of(import_tables(tmp_path, mapping)) == {"u1": moment, "u2": moment}


@given(
    st.integers(0, 9999),
    st.integers(0, 13),
    st.integers(0, 32),
    st.sampled_from(["", "T", "T10", " 24", "T23:59", "T10:60", "T23:59:59", "T23:59:60", "T09:08:07.123456", "T1:00"]),
    st.sampled_from(["", "", "Z", "z", "+02", "-0230", "+23:59", "+24:00", "+1:00", "+02:60", " UTC"]),
)
def test_what_prints_a_moment_is_what_arrow_reads(year: int, month: int, day: int, clock: str, zone: str) -> None:
    column = pa.chunked_array([[f"{year:04}-{month:02}-{day:02}{clock}{zone}"]])
    readable = False
    for kind in (pa.timestamp("us"), pa.timestamp("us", tz="UTC")):
        try:
            column.cast(kind)
            readable = True
        except pa.ArrowInvalid:
            pass
    assert prints_moment(column).to_pylist() == [readable]


def test_nothing_stays_nothing_among_mixed_forms() -> None:
    column = pa.chunked_array([["2024-01-01", None], ["2024-01-01T00:00:00Z"]])
    read = moments(column)
    assert read is not None
    assert [cell and cell.isoformat() for cell in read.cast(pa.timestamp("us")).to_pylist()] == [
        "2024-01-01T00:00:00",
        None,
        "2024-01-01T00:00:00",
    ]
    assert moments(pa.chunked_array([["2024-01-01", "2023-02-29"]])) is None
