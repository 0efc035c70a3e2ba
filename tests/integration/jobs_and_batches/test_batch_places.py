"""`omnivec2 batch` from bucket to bucket, and beside the other callers of a service."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pyarrow.parquet
import pytest
from pyarrow import fs

from export.repository.layouts import Layout
from omnivec2_api.batch.background_client import BackgroundClient
from omnivec2_api.batch.batch_run import BatchOptions, run_batch
from omnivec2_api.batch.find_source import LineSource
from omnivec2_api.local_model import open_repository
from tests.support.documents import ROOT
from tests.support.gateways.servers import EXACT, running_server
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository
from tests.support.outside_services.s3_server import running_s3

QUIET = BatchOptions(progress=False)
TEXTS = [f"text number {number} is as fine as any" for number in range(240)]
CALLERS, CALLS = 8, 25


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    heads = [head for head in tiny_heads() if head.modality == "text"]
    return write_repository(tmp_path_factory.mktemp("repo"), heads, Layout.SHARED)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with running_s3("data", tmp_path_factory.mktemp("s3") / "log") as environment:
        yield environment


def test_a_batch_runs_from_bucket_to_bucket(repository: Path, s3: dict[str, str], tmp_path: Path):
    address = s3["AWS_ENDPOINT_URL"].removeprefix("http://")
    bucket = fs.S3FileSystem(
        access_key="testing",
        secret_key="testing",
        endpoint_override=address,
        scheme="http",
        region="us-east-1",
    )
    for number in range(30):
        with bucket.open_output_stream(f"data/texts/some/{number:02}.txt") as file:
            file.write(f"a text {number}".encode())
    command = [
        *(sys.executable, "-m", "omnivec2_cli.main", "batch", "text/sentiment,embedding"),
        *("s3://data/texts/", "--out", "s3://data/answers/out.parquet", "--json"),
        *("--model-repo", str(repository), "--checkpoint", "none"),
    ]
    done = subprocess.run(
        command,
        env={**os.environ, **EXACT, **s3, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 30
    with bucket.open_input_file("data/answers/out.parquet") as file:
        rows = pyarrow.parquet.read_table(file).to_pylist()
    assert [row["path"] for row in rows] == [f"some/{number:02}.txt" for number in range(30)]
    assert len(rows[0]["embedding"]) == 16
    written = bucket.get_file_info(fs.FileSelector("data/answers", recursive=True))
    assert [info.path for info in written] == ["data/answers/out.parquet"]


class Callers:
    """Callers of normal priority, who leave nothing over until they have all their answers.

    Attributes:
        statuses: The HTTP statuses of their answers.
    """

    def __init__(self, url: str) -> None:
        self.statuses: list[int] = []
        self._url = f"{url}/predict/text/sentiment"
        self._threads = [threading.Thread(target=self._run) for _ in range(CALLERS)]

    def _run(self) -> None:
        with httpx2.Client(timeout=60, trust_env=False) as client:
            for _ in range(CALLS):
                body = {"inputs": "somebody waits for this"}
                self.statuses.append(client.post(self._url, json=body).status_code)

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        for thread in self._threads:
            thread.join()


def test_a_batch_beside_a_busy_service_s_callers_gets_the_rows_of_a_local_run(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, value in EXACT.items():
        monkeypatch.setenv(name, value)
    source = LineSource(TEXTS)
    with open_repository(repository, ["text/sentiment"]) as model:
        run_batch(model, ["text/sentiment"], source, tmp_path / "local.csv", QUIET)
    # With so little room, requests of a low class are refused while others are there.
    settings = {"max_pending_requests": 12, "metrics_port": 0}
    options = ("--model-repo", str(repository), "--checkpoint", str(tmp_path / "none"))
    with running_server(*options, settings=settings) as server:
        with Callers(server.url) as callers, BackgroundClient(server.url) as client:
            summary = run_batch(client, ["text/sentiment"], source, tmp_path / "served.csv", QUIET)
        metrics = httpx2.get(server.metrics_url, trust_env=False).text
    assert summary.failed == 0
    assert (tmp_path / "served.csv").read_bytes() == (tmp_path / "local.csv").read_bytes()
    assert callers.statuses == [200] * CALLERS * CALLS
    low = re.search(
        r'^omnivec2_admissions_total\{outcome="admitted",priority="low"\} (\S+)$', metrics, re.M
    )
    assert low is not None
    assert float(low[1]) == len(TEXTS)
