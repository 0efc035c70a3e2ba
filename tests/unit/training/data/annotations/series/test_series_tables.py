from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import ArtifactError
from omnivec2.preprocess.formats.tables.csv_reader import read_csv
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.spec import Limits
from omnivec2.training.data.annotations.series.series_tables import SeriesColumns, read_series


def table(text: str) -> Frame:
    return read_csv(text.encode(), Limits(rows=1000, columns=100))


def wide(rows: int = 6) -> list[str]:
    return [f"2024-01-{day:02},{day},{100 - day}\n" for day in range(1, rows + 1)]


def test_a_wide_table_has_a_series_per_column() -> None:
    found = read_series(table("date,load,oil\n" + "".join(wide())), SeriesColumns(), "x.csv")
    assert [series.name for series in found] == ["load", "oil"]
    assert found[0].values.tolist() == [1, 2, 3, 4, 5, 6]
    assert found[0].times is not None
    assert np.diff(found[0].times).tolist() == [86_400] * 5


def test_rows_may_be_unsorted_and_missing() -> None:
    rows = wide()
    del rows[2]
    found = read_series(table("date,load,oil\n" + "".join(rows[::-1])), SeriesColumns(), "x.csv")
    np.testing.assert_array_equal(found[0].values, [1, 2, np.nan, 4, 5, 6])
    assert found[0].times is not None
    assert len(found[0].times) == 6


def test_a_table_without_times_is_in_the_order_of_its_rows() -> None:
    found = read_series(table("load\n3\n1\n\n2\n"), SeriesColumns(), "x.csv")
    assert found[0].times is None
    assert found[0].values[:2].tolist() == [3, 1]


@pytest.mark.parametrize("stated", [False, True])
def test_a_long_table_has_a_series_per_id_and_ids_may_be_numbers(stated: bool) -> None:
    rows = [f"{7 + i},2024-01-{d:02},{10 * i + d}\n" for d in (2, 1, 3) for i in range(2)]
    columns = SeriesColumns(time="ds", ids=("unique_id",), targets=("y",))
    text = "unique_id,ds,y\n" + "".join(rows)
    found = read_series(table(text), columns if stated else SeriesColumns(), "x.csv")
    assert {s.name: s.values.tolist() for s in found} == {"7": [1, 2, 3], "8": [11, 12, 13]}


def test_units_that_count_their_cycles_are_a_series_each() -> None:
    rows = [f"{unit},{cycle},{10 * unit + cycle}\n" for unit in (1, 2) for cycle in range(1, 10)]
    found = read_series(table("unit,cycle,pressure\n" + "".join(rows)), SeriesColumns(), "x.csv")
    assert {series.name: series.values[:3].tolist() for series in found} == {
        "1": [11, 12, 13],
        "2": [21, 22, 23],
    }


def test_long_tables_may_have_several_ids_and_values() -> None:
    rows = [f"{s},{i},2024-01-0{d},{d},{i}\n" for s in "ab" for i in (1, 2) for d in (1, 2, 3)]
    columns = SeriesColumns(ids=("shop", "item"), others=())
    found = read_series(table("shop,item,ds,y,z\n" + "".join(rows)), columns, "x.csv")
    assert [series.name for series in found][:3] == ["a/1/y", "a/1/z", "a/2/y"]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("date,load\n2024-01-01,1\n2024-01-02,x1\n", SeriesColumns(targets=("load",)), "row 2"),
        ("date,load\n2024-01-01,1\n", SeriesColumns(targets=("lod",)), "'lod'.*'load' meant"),
        ("date,load\n2024-01-01,1\nsoon,2\n", SeriesColumns(time="date"), "row 2.*'soon'"),
        ("date,kind\n2024-01-01,a\n2024-01-02,b\n", SeriesColumns(), "no column holds numbers"),
    ],
)
def test_what_cannot_be_read_is_named_with_file_and_row(
    text: str, columns: SeriesColumns, message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        read_series(table(text), columns, "x.csv")
