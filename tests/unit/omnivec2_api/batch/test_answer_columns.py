"""Every family has typed columns, and its answers fit them in every format."""

from __future__ import annotations

import csv
import io
import json
from functools import partial
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from omnivec2.errors import InvalidParameterError
from omnivec2.spec import TaskFamily
from omnivec2_api.answers.answer_types import make_answer
from omnivec2_api.batch.columns import FAMILY_COLUMNS, AnswerColumns
from omnivec2_api.batch.table_writers import WRITERS, writer_for
from omnivec2_api.head_info import HeadInfo, make_head_info
from tests.support.model_repositories.tiny_models import tiny_heads

HEADS = {h.route: make_head_info(h.model_dump(mode="json")) for h in tiny_heads()}
CLOUD = HeadInfo("pointcloud/parts", "pointcloud", "parts", "segmentation")
NEW = HeadInfo("image/count", "image", "count", "counting")
BOX = {"label": "red", "score": 0.5, "box": {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}}
QUANTILES = {"target": "y", "mean": [1.0], "quantiles": {"0.1": [0.5]}}

ANSWERS = [
    (HEADS["image/classification"], [{"label": "cat", "score": 1.0}]),
    (HEADS["image/detection"], [BOX]),
    (HEADS["image/detection"], []),
    (HEADS["image/segmentation"], [{"label": "sky", "score": 0.5, "mask": "aGk="}]),
    (CLOUD, {"labels": [0, None], "names": ["leg"]}),
    (HEADS["graph/solubility"], [{"label": "log solubility", "value": -1.5, "unit": "x"}]),
    (HEADS["timeseries/forecast"], {"predictions": [{"target": "y", "mean": [1.0, 2.0]}]}),
    (HEADS["timeseries/forecast"], {"predictions": [QUANTILES]}),
    (HEADS["text/embedding"], [[0.25] * 16]),
    (NEW, {"count": 3}),
]


def row_of(head, value):
    columns = AnswerColumns((head,))
    answer = make_answer(head.route, head.family, value)
    (row,) = columns.rows({head.task: answer})
    return columns.types, row


def test_every_family_has_columns():
    assert set(FAMILY_COLUMNS) == set(TaskFamily)


@pytest.mark.parametrize(("head", "value"), ANSWERS, ids=lambda v: getattr(v, "route", ""))
@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_answers_of_a_family_fit_their_columns(head, value, suffix: str, tmp_path: Path):
    types, row = row_of(head, value)
    assert set(row) == set(types)
    writer = WRITERS[suffix](types, {})
    parts = [io.BytesIO() for _ in range(3)]
    for part in parts:
        writer.write_part([row, {}], part)
    out = tmp_path / f"out{suffix}"
    with out.open("wb") as file:
        writer.join([partial(io.BytesIO, part.getvalue()) for part in parts], file)
    if suffix == ".parquet":
        rows = pyarrow.parquet.read_table(out).to_pylist()
    elif suffix == ".csv":
        with out.open(newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 6
    assert all(set(found) == set(types) for found in rows)
    if suffix == ".jsonl":
        assert rows[4] == json.loads(json.dumps(row))
    if suffix == ".parquet" and head is not NEW:
        assert {k: v for k, v in rows[4].items() if v} == {k: v for k, v in row.items() if v}


def test_vectors_have_a_fixed_size_for_vector_databases():
    types, row = row_of(HEADS["text/embedding"], [[0.25] * 16])
    part = io.BytesIO()
    WRITERS[".parquet"](types, {}).write_part([row], part)
    field = pyarrow.parquet.read_schema(part).field("embedding")
    assert field.type == pyarrow.list_(pyarrow.float32(), 16)


def test_a_table_of_another_format_is_refused():
    with pytest.raises(InvalidParameterError, match=r"\.csv, \.jsonl, \.parquet"):
        writer_for(Path("out.xlsx"))
