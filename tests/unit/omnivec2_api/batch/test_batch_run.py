from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet
import pytest
from filelock import FileLock

from omnivec2.errors import (
    InvalidInputError,
    InvalidParameterError,
    ModelNotReadyError,
    OmniVecError,
    UnknownModelError,
)
from omnivec2_api.batch import batch_run
from omnivec2_api.batch.batch_run import BatchOptions, run_batch
from omnivec2_api.batch.file_source import FileSource
from omnivec2_api.batch.find_source import LineSource
from tests.support.model_repositories.tiny_models import tiny_heads
from tests.support.service_parts.scripted_predictor import ScriptedPredictor

HEADS = tiny_heads()
QUIET = BatchOptions(progress=False)
CUT = {"code": "cut", "count": 2, "text": "cut off"}


def script(head, value):
    """Longer texts are more positive; one of them cannot be read."""
    text = str(value.value)
    if text == "bad":
        raise InvalidInputError("it is bad")
    if head.family == "embedding":
        return [[float(len(text))] * 16]
    return [[{"label": "positive", "score": len(text) / 100}]]


def predictor(**options) -> ScriptedPredictor:
    return ScriptedPredictor(options.pop("script", script), *HEADS, **options)


@pytest.fixture
def parts_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_run, "PART_INPUTS", 4)


def texts(count: int) -> LineSource:
    return LineSource(["x" * number for number in range(1, count + 1)])


def read(path: Path) -> list[dict]:
    return pyarrow.parquet.read_table(path).to_pylist()


def test_a_table_has_a_row_per_input_in_order(tmp_path: Path, parts_of_four: None):
    out = tmp_path / "new" / "out.parquet"
    summary = run_batch(predictor(notes=[CUT]), ["text/sentiment"], texts(10), out, QUIET)
    rows = read(out)
    assert [row["row"] for row in rows] == list(range(10))
    assert rows[2]["label"] == "positive"
    assert rows[2]["score"] == 0.03
    assert rows[2]["scores"] == [{"label": "positive", "score": 0.03}]
    assert rows[2]["notes"] == [{"code": "cut", "field": None, "count": 2, "text": "cut off"}]
    assert rows[2]["error"] is None
    assert (summary.inputs, summary.rows, summary.failed, summary.noted) == (10, 10, 0, 10)
    assert list(out.parent.iterdir()) == [out]


def test_an_input_without_an_answer_has_its_error(tmp_path: Path):
    out = tmp_path / "out.jsonl"
    summary = run_batch(predictor(), ["text/sentiment"], LineSource(["a", "bad", "c"]), out, QUIET)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["error"] for row in rows] == [None, "it is bad", None]
    assert rows[1]["label"] is None
    assert summary.failed == 1


def test_several_heads_answer_in_one_pass(tmp_path: Path):
    out = tmp_path / "out.csv"
    asked = predictor()
    run_batch(asked, ["text/sentiment", "text/embedding"], texts(2), out, QUIET)
    assert len(asked.asked) == 2
    with out.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == [
        *("row", "sentiment_label", "sentiment_score", "sentiment_scores"),
        *("embedding", "notes", "error"),
    ]
    assert json.loads(second["embedding"]) == [2.0] * 16
    assert second["sentiment_score"] == "0.02"
    assert second["error"] == ""


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.jsonl"])
def test_a_killed_run_goes_on(tmp_path: Path, parts_of_four: None, name: str):
    out = tmp_path / name
    run_batch(predictor(), ["text/sentiment"], texts(10), tmp_path / f"whole.{name}", QUIET)

    def dies(head, value):
        if len(value.value) == 7:
            raise KeyboardInterrupt
        return script(head, value)

    with pytest.raises(KeyboardInterrupt):
        run_batch(predictor(script=dies), ["text/sentiment"], texts(10), out, QUIET)
    assert not out.exists()
    again = predictor()
    summary = run_batch(again, ["text/sentiment"], texts(10), out, QUIET)
    assert summary.resumed == 4
    assert [len(value.value) for value in again.asked] == [5, 6, 7, 8, 9, 10]
    assert out.read_bytes() == (tmp_path / f"whole.{name}").read_bytes()


def test_an_input_that_changed_is_asked_again(tmp_path: Path, parts_of_four: None):
    files = [tmp_path / f"{number}.txt" for number in range(8)]
    for path in files:
        path.write_text("text")

    def label(head, value):
        if value.name == "7.txt":
            raise KeyboardInterrupt
        return [[{"label": value.read_text(), "score": 1.0}]]

    source = FileSource("text", tmp_path, [path.name for path in files])
    out = tmp_path / "out.parquet"
    with pytest.raises(KeyboardInterrupt):
        run_batch(predictor(script=label), ["text/sentiment"], source, out, QUIET)
    files[1].write_text("another text")

    def answer(head, value):
        return [[{"label": value.read_text(), "score": 1.0}]]

    again = predictor(script=answer)
    assert run_batch(again, ["text/sentiment"], source, out, QUIET).resumed == 0
    assert read(out)[1]["label"] == "another text"


def test_other_parameters_are_another_run(tmp_path: Path, parts_of_four: None):
    out = tmp_path / "out.parquet"

    def dies(head, value):
        if len(value.value) == 7:
            raise KeyboardInterrupt
        return script(head, value)

    with pytest.raises(KeyboardInterrupt):
        run_batch(predictor(script=dies), ["text/sentiment"], texts(10), out, QUIET)
    other = BatchOptions({"top_k": 1}, progress=False)
    assert run_batch(predictor(), ["text/sentiment"], texts(10), out, other).resumed == 0


def test_a_service_that_is_gone_ends_the_run_and_keeps_what_is_done(
    tmp_path: Path, parts_of_four: None
):
    def gone(head, value):
        if len(value.value) > 5:
            raise ModelNotReadyError("nobody answers")
        return script(head, value)

    out = tmp_path / "out.parquet"
    asked = predictor(script=gone)
    with pytest.raises(ModelNotReadyError, match="nobody answers"):
        run_batch(asked, ["text/sentiment"], texts(1000), out, QUIET)
    assert len(asked.asked) < 30
    assert run_batch(predictor(), ["text/sentiment"], texts(1000), out, QUIET).resumed >= 4


def test_a_wrong_parameter_ends_the_run_at_once(tmp_path: Path):
    def refuse(head, value):
        raise InvalidParameterError("top_k must be 1 to 2")

    asked = predictor(script=refuse)
    with pytest.raises(InvalidParameterError, match="top_k"):
        run_batch(asked, ["text/sentiment"], texts(100), tmp_path / "out.csv", QUIET)
    assert len(asked.asked) == 3


def test_files_of_several_inputs_have_several_rows(tmp_path: Path):
    def rows(head, value):
        return [[{"label": "yes", "score": 1.0}], [{"label": "no", "score": 1.0}]]

    (tmp_path / "a.csv").write_text("x")
    source = FileSource("tabular", tmp_path, ["a.csv"])
    out = tmp_path / "out.parquet"
    summary = run_batch(predictor(script=rows), ["tabular/income"], source, out, QUIET)
    found = [(row["path"], row["row"], row["label"]) for row in read(out)]
    assert found == [("a.csv", 0, "yes"), ("a.csv", 1, "no")]
    assert (summary.inputs, summary.rows) == (1, 2)


def test_heads_that_see_other_rows_are_an_error(tmp_path: Path):
    def rows(head, value):
        one = [{"label": "yes", "score": 1.0}]
        return [[1.0] * 16] if head.family == "embedding" else [one, one]

    out = tmp_path / "out.jsonl"
    routes = ["text/sentiment", "text/embedding"]
    run_batch(predictor(script=rows), routes, texts(1), out, QUIET)
    assert "different numbers of rows" in json.loads(out.read_text())["error"]


def test_a_table_that_is_there_is_kept(tmp_path: Path):
    out = tmp_path / "out.csv"
    out.write_text("mine")
    with pytest.raises(InvalidParameterError, match="--overwrite"):
        run_batch(predictor(), ["text/sentiment"], texts(1), out, QUIET)
    assert out.read_text() == "mine"
    overwrite = BatchOptions(overwrite=True, progress=False)
    run_batch(predictor(), ["text/sentiment"], texts(1), out, overwrite)
    assert out.read_text() != "mine"


def test_two_runs_do_not_write_one_table(tmp_path: Path):
    parts = tmp_path / "out.csv.parts"
    parts.mkdir()
    with FileLock(parts / ".lock"), pytest.raises(OmniVecError, match="another run"):
        run_batch(predictor(), ["text/sentiment"], texts(1), tmp_path / "out.csv", QUIET)


@pytest.mark.parametrize(
    ("routes", "error", "message"),
    [
        (["text/nothing"], UnknownModelError, "text/sentiment"),
        (["text/sentiment", "image/embedding"], InvalidParameterError, "same modality"),
        (["text/sentiment", "text/sentiment"], InvalidParameterError, "twice"),
    ],
)
def test_heads_that_do_not_fit_are_refused(tmp_path: Path, routes, error, message):
    with pytest.raises(error, match=message):
        run_batch(predictor(), routes, texts(1), tmp_path / "out.csv", QUIET)


def test_the_table_says_what_it_was_made_with(tmp_path: Path):
    out = tmp_path / "out.parquet"
    run_batch(predictor(), ["text/sentiment"], texts(1), out, QUIET)
    facts = json.loads(pyarrow.parquet.read_schema(out).metadata[b"omnivec2"])
    assert facts["heads"][0]["route"] == "text/sentiment"
