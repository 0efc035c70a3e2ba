"""The stream of inputs that executions are given, and what may come back in any order."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Generator
from pathlib import Path

import pytest

from omnivec2.errors import OmniVecError
from omnivec2_api.batch import batch_run
from omnivec2_api.batch.batch_run import BatchOptions, run_execution
from omnivec2_api.batch.executions import Done, Jobs, JobStream, LocalExecution
from omnivec2_api.batch.file_source import FileSource
from omnivec2_api.batch.find_source import LineSource
from omnivec2_api.batch.items import BatchRequest
from omnivec2_api.head_info import HeadInfo
from tests.support.model_repositories.tiny_models import tiny_heads
from tests.support.service_parts.scripted_predictor import ScriptedPredictor

QUIET = BatchOptions(progress=False)
TEXTS = LineSource([f"text {number}" for number in range(10)])


def script(head, value):
    return [[{"label": value.value, "score": 1.0}]]


def local() -> LocalExecution:
    predictor = ScriptedPredictor(script, *tiny_heads())
    return LocalExecution(predictor, (predictor.heads["text/sentiment"],))


class Cluster:
    """Answers in another process's words and in any order, some of it twice or never.

    Attributes:
        heads: as of the local execution.
    """

    def __init__(self, *, loses: int = 0) -> None:
        self._local, self._loses = local(), loses

    @property
    def heads(self) -> tuple[HeadInfo, ...]:
        return self._local.heads

    def run(self, jobs: JobStream, request: BatchRequest) -> Generator[Done]:
        sent = pickle.loads(pickle.dumps(jobs))
        done = list(self._local.run(sent, request))
        random.Random(3).shuffle(done)
        yield from done[self._loses :]


@pytest.fixture(autouse=True)
def parts_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_run, "PART_INPUTS", 4)


def test_only_the_inputs_of_wanted_parts_are_streamed():
    jobs = list(Jobs(TEXTS, 4, [False, True, True]))
    assert [(job.part, job.position, job.item.key["row"]) for job in jobs] == [
        *((1, 0, 4), (1, 1, 5), (1, 2, 6), (1, 3, 7)),
        *((2, 0, 8), (2, 1, 9)),
    ]


def test_rows_that_come_in_any_order_make_the_same_table(tmp_path: Path):
    run_execution(local(), TEXTS, tmp_path / "local.jsonl", QUIET)
    run_execution(Cluster(), TEXTS, tmp_path / "cluster.jsonl", QUIET)
    assert (tmp_path / "cluster.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()


def test_an_input_without_a_row_is_an_error_and_not_left_out(tmp_path: Path):
    with pytest.raises(OmniVecError, match="have changed"):
        run_execution(Cluster(loses=1), TEXTS, tmp_path / "out.jsonl", QUIET)
    assert not (tmp_path / "out.jsonl").exists()


def test_files_have_their_places_whatever_their_number(tmp_path: Path):
    names = [f"{number}.txt" for number in range(9)]
    for name in names:
        (tmp_path / name).write_text(name)

    def read(head, value):
        return [[{"label": value.read_text(), "score": 1.0}]]

    predictor = ScriptedPredictor(read, *tiny_heads())
    execution = LocalExecution(predictor, (predictor.heads["text/sentiment"],))
    out = tmp_path / "out.jsonl"
    run_execution(execution, FileSource("text", tmp_path, names), out, QUIET)
    assert [json.loads(line)["label"] for line in out.read_text().splitlines()] == names
