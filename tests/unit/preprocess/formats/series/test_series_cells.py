from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.preprocess.timeseries import TimeseriesParameters, TimeseriesPreprocessor

READER = TimeseriesPreprocessor(TimeseriesParameters(context_length=4))


def decode(**columns):
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    native = READER.decode(file.getvalue())
    return dict(zip(native.names, native.values.T.tolist(), strict=True))


def test_a_list_in_each_cell_is_a_series():
    with collect_notes() as notes:
        found = decode(
            item_id=["A", "B"], start=["2024"] * 2, target=[[0.0, 1, 2, 3], [9, 8, 7, 6, 5]]
        )
    assert found == {"A": [0, 1, 2, 3], "B": [8, 7, 6, 5]}
    assert [note.code for note in notes] == [NoteCode.IGNORED]


def test_whole_numbers_and_several_columns_of_lists_are_read():
    load = pa.array([[1, 2, 3, 4], [5, 6, 7, 8]], pa.large_list(pa.int16()))
    heat = pa.array([[1, 2, 3, 4.5]] * 2, pa.list_(pa.float32()))
    assert list(decode(id=[1, 2], load=load, heat=heat)) == ["1/load", "1/heat", "2/load", "2/heat"]


def test_series_without_ids_are_numbered():
    assert list(decode(target=[[1.0, 2, 3, 4]] * 2)) == ["series 1", "series 2"]


def test_missing_values_in_a_list_are_missing():
    assert np.isnan(decode(target=[[1.0, None, 3, 4]])["series 1"][1])


@pytest.mark.parametrize("cell", [[1.0, 2.0], None])
def test_short_and_missing_lists_are_refused_by_name(cell):
    with pytest.raises(InvalidInputError, match="series 'B': the list in column 'target' has"):
        decode(item_id=["A", "B"], target=[[1.0, 2, 3, 4], cell])


def test_equal_names_are_refused():
    with pytest.raises(InvalidInputError, match="two series are named 'A'"):
        decode(item_id=["A", "A"], target=[[1.0, 2, 3, 4]] * 2)
