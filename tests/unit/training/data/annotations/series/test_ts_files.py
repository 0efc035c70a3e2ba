"""Files of labelled series, as aeon and sktime write them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.spec import Modality
from omnivec2.training.adaptation.adaptation_request import DataPart
from omnivec2.training.adaptation.answer_forms import AnswerForm
from omnivec2.training.adaptation.reading.forecast_series import read_forecast_series
from omnivec2.training.adaptation.reading.read_data import read_part
from omnivec2.training.data.blocks.examples import Example, Problem
from omnivec2.training.data.blocks.files import BlockFiles
from omnivec2.training.data.blocks.kinds.series_blocks import SeriesBlock
from omnivec2.training.data.table_files import read_table

GESTURES = """# two people
@problemName Gestures
@univariate true
@equalLength false
@classLabel true left right

@data
0.5,1.5,?,2.5:left
-1e-3,2,3:right
"""


def read(path: Path, **fields: object) -> list[Example | Problem]:
    block = SeriesBlock.model_validate({"path": path.name, **fields})
    return list(block.read(BlockFiles(path.parent, Modality.TIMESERIES)))


def test_a_line_is_a_series_with_its_label(tmp_path: Path) -> None:
    path = tmp_path / "g.ts"
    path.write_text(GESTURES)
    frame = read_table(path)
    assert list(frame.columns) == ["label", "step 1", "step 2", "step 3", "step 4"]
    assert frame.columns["label"].tolist() == ["left", "right"]
    assert np.isnan([frame.columns["step 3"][0], frame.columns["step 4"][1]]).all()
    found = read(path, label="label")
    assert [one.value for one in found if isinstance(one, Example)] == [
        {"target": [0.5, 1.5, None, 2.5]},
        {"target": [-0.001, 2.0, 3.0]},
    ]


def test_adapt_reads_it_without_naming_the_label(tmp_path: Path) -> None:
    path = tmp_path / "g.ts.gz"
    path.write_bytes(gzip.compress(GESTURES.encode()))
    part = DataPart.model_validate({"path": path})
    rows = read_part(part, Modality.TIMESERIES, AnswerForm.CLASS)
    assert [(row.where, row.label) for row in rows] == [
        ("g.ts.gz, row 1", "left"),
        ("g.ts.gz, row 2", "right"),
    ]


def test_labels_of_a_regression_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "g.ts"
    path.write_text("@targetLabel true\n@data\n1,2:3.5\n1,2,3:-1\n")
    part = DataPart.model_validate({"path": path})
    rows = read_part(part, Modality.TIMESERIES, AnswerForm.QUANTITIES)
    assert [row.label for row in rows] == [(3.5,), (-1.0,)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (GESTURES.replace("left\n-", "left\n1,2:1,2:left\n-"), "line 9: 2 dimensions"),
        (GESTURES.replace("2.5:", "2,x:"), "line 8: 'x' is no number"),
        (GESTURES.replace("2.5:", "1e999:"), "line 8: '1e999' is no number"),
        (GESTURES.replace("2.5:left", "2.5"), "line 8: expected values, a colon and a label"),
        (GESTURES.replace("2.5:left", "2.5:"), "line 8: expected values, a colon and a label"),
        (GESTURES.partition("0.5")[0], "no series behind @data"),
        (GESTURES.partition("@data")[0], "no line @data"),
        ("1,2,3:left\n", "line 1: expected a line such as @problemName"),
        ("@timeStamps true\n@data\n(0,1),(1,2):a\n", "@timeStamps true"),
        ("@classLabel false\n@data\n1,2\n", "@classLabel false"),
        ("@targetLabel true\n@data\n1,2:tall\n", "line 3: 'tall' is no number"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(
    tmp_path: Path, content: str, expected: str
) -> None:
    path = tmp_path / "g.ts"
    path.write_text(content)
    with pytest.raises(InvalidInputError, match=expected):
        read_table(path)


def test_labelled_series_are_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "g.ts"
    path.write_text(GESTURES)
    (problem,) = read(path)
    assert isinstance(problem, Problem)
    assert "give label: label" in problem.reason
    with pytest.raises(InvalidInputError, match="its series have labels"):
        read_forecast_series(DataPart.model_validate({"path": path}))
