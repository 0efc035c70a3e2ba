"""`omnivec2 batch --ray` and deploy/ray on a real cluster whose nodes are killed."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import httpx2
import pyarrow.parquet
import pytest

from export.repository.layouts import Layout
from tests.support.documents import ROOT
from tests.support.environments.ray_environment import (
    ENVIRONMENT,
    PYTHON,
    RayCluster,
    running_cluster,
)
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository

pytestmark = pytest.mark.alone

INPUTS = 2000
TEXTS = 40
CALLERS = 4
WORDS = ("river", "seventeen", "of", "glasshouses", "and", "ink")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    with running_cluster(tmp_path_factory.mktemp("ray") / "log") as cluster:
        cluster.add_node()
        yield cluster


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository, and a folder of 2,000 texts with one among them that is too long."""
    root = tmp_path_factory.mktemp("work")
    heads = [head for head in tiny_heads() if head.modality == "text"]
    write_repository(root / "repo", heads, Layout.SHARED)
    random = Random(5)
    folder = root / "texts"
    folder.mkdir()
    for number in range(TEXTS):
        (root / f"{number}.txt").write_text(" ".join(random.choices(WORDS, k=800)))
    for number in range(INPUTS):
        (folder / f"{number:04}.txt").hardlink_to(root / f"{number % TEXTS}.txt")
    (folder / "0777.txt").unlink()
    (folder / "0777.txt").write_text("long " * 100_000)
    return root


def start_batch(work: Path, out: str, *options: str) -> subprocess.Popen[str]:
    command = [
        *(str(PYTHON), "-m", "omnivec2_cli.main", "batch"),
        *("text/sentiment,embedding", "texts", "--out", out, "--json"),
        *("--model-repo", "repo", "--checkpoint", "none", *options),
    ]
    return subprocess.Popen(
        command,
        cwd=work,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> dict:
    """Return the summary of a run in which one input has no answer."""
    out, errors = process.communicate(timeout=200)
    assert process.returncode == 3, out + errors
    return json.loads(out)


def count_parts(work: Path, out: str) -> int:
    return len(list(work.glob(f"{out}.parts/part-*.parquet")))


def wait_for_parts(work: Path, out: str, count: int, process: subprocess.Popen[str]) -> float:
    """Wait until so many parts are written, and return the time."""
    last = time.monotonic() + 240
    while count_parts(work, out) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < last, "the cluster does not answer"
        time.sleep(0.005)
    return time.monotonic()


def rows_of(path: Path) -> list[dict]:
    return pyarrow.parquet.read_table(path).to_pylist()


def test_a_batch_on_a_cluster_that_loses_a_node_gives_the_rows_of_a_local_run(
    cluster: RayCluster, work: Path, capsys: pytest.CaptureFixture[str]
):
    local = finish(start_batch(work, "local.parquet"))
    assert (local["inputs"], local["failed"]) == (INPUTS, 1)

    alone = start_batch(work, "alone.parquet", "--ray", cluster.address)
    first = wait_for_parts(work, "alone.parquet", 1, alone)
    rate_alone = 3 * 256 / (wait_for_parts(work, "alone.parquet", 4, alone) - first)
    cluster.add_node()
    finish(alone)

    both = start_batch(work, "both.parquet", "--ray", cluster.address)
    first = wait_for_parts(work, "both.parquet", 1, both)
    rate_both = 3 * 256 / (wait_for_parts(work, "both.parquet", 4, both) - first)
    cluster.kill_node()
    assert both.poll() is None
    assert count_parts(work, "both.parquet") < INPUTS // 256
    finish(both)

    assert rows_of(work / "alone.parquet") == rows_of(work / "local.parquet")
    assert rows_of(work / "both.parquet") == rows_of(work / "local.parquet")
    assert list(work.glob("*.parts")) == []
    with capsys.disabled():
        print(
            f"\none process {INPUTS / local['seconds']:.0f}/s; on Ray {rate_alone:.0f}/s with one "
            f"worker, {rate_both:.0f}/s with two"
        )


def test_a_cluster_that_is_not_there_is_an_error(work: Path):
    process = start_batch(work, "none.parquet", "--ray", "ray://127.0.0.1:1")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "ray job submit" in errors


@contextmanager
def serving(cluster: RayCluster, work: Path, replicas: int) -> Iterator[str]:
    """Serve the model repository on the cluster, and return the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = ROOT / "tests" / "support" / "environments" / "ray_serve.py"
    process = subprocess.Popen(
        [str(PYTHON), str(script), cluster.address, str(work / "repo"), str(port), str(replicas)],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdin is not None
        assert "ready" in process.stdout.read(6)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.communicate("", timeout=60)


class Callers:
    """Callers that send one request after the other until they are told to stop.

    Attributes:
        outcomes: the time and the status of each; 0 of a connection that was cut.
    """

    def __init__(self, url: str, count: int) -> None:
        self.outcomes: list[tuple[float, int]] = []
        self._url, self._stop = f"{url}/predict/text/sentiment", threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def answered_since(self, moment: float) -> int:
        return sum(status == 200 and at > moment for at, status in list(self.outcomes))

    def _run(self) -> None:
        with httpx2.Client(timeout=30, trust_env=False) as client:
            while not self._stop.is_set():
                try:
                    status = client.post(self._url, json={"inputs": "a fine text"}).status_code
                except httpx2.TransportError:
                    status = 0
                self.outcomes.append((time.monotonic(), status))

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def wait_for_answers(callers: Callers, count: int) -> float:
    """Wait for so many more answers, and return the seconds that they took."""
    moment = time.monotonic()
    while callers.answered_since(moment) < count:
        assert time.monotonic() < moment + 60, Counter(status for _, status in callers.outcomes)
        time.sleep(0.01)
    return time.monotonic() - moment


def test_the_serve_application_keeps_answering_when_a_node_is_killed(
    cluster: RayCluster, work: Path, capsys: pytest.CaptureFixture[str]
):
    cluster.add_node()
    with serving(cluster, work, replicas=2) as url, Callers(url, CALLERS) as callers:
        before = wait_for_answers(callers, 200)
        cluster.kill_node()
        after = wait_for_answers(callers, 400)
        cluster.add_node()
        wait_for_answers(callers, 200)
    counts = Counter(status for _, status in callers.outcomes)
    with capsys.disabled():
        print(
            f"\nRay Serve with {CALLERS} callers, a node of two killed: answers by status "
            f"{dict(counts)}; {200 / before:.0f}/s before, {400 / after:.0f}/s after"
        )
    # Ray does not send again what was under way on the lost node.
    assert counts.total() - counts[200] <= 2 * CALLERS
    assert counts[503] == 0
