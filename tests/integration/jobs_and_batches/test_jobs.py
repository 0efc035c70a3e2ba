"""Jobs over real gateways: two that share a Redis, and one with a SQLite file."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from loadtests.jobs.recordings import write_sound, write_video
from loadtests.jobs.survival import document_of, measure_cancellation, sum_of, survive
from omnivec2.errors import ForbiddenError
from omnivec2_api.client import Client
from omnivec2_api.remote_jobs import JobCancelledError
from tests.support.documents import ADDRESS, ROOT, Example, examples
from tests.support.gateways.servers import EXACT, RunningServer, running_server
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository
from tests.support.outside_services.shared_state import needs_store, running_store

AUDIO, VIDEO, TEXT = "audio/events", "video/action", "text/sentiment"
EXAMPLES = examples(ROOT / "docs" / "jobs.md")
SECRET = "a secret"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    heads = [head for head in tiny_heads() if head.route in (AUDIO, VIDEO, TEXT)]
    return write_repository(tmp_path_factory.mktemp("repository"), heads)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def pair(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[RunningServer]]:
    """Two gateways that share a Redis."""
    settings = {
        "jobs_store": "redis",
        "jobs_dir": tmp_path_factory.mktemp("jobs"),
        "jobs_lease_seconds": 2,
        "jobs_webhook_hosts": "127.0.0.1",
        "jobs_webhook_secret": SECRET,
        "inference_threads": 1,
        "host_threads": 1,
    }
    options = ("--model-repo", str(repository), "--checkpoint", "none")
    with running_store() as store, ExitStack() as stack:
        settings["shared_state_url"] = store.url
        yield [stack.enter_context(running_server(*options, settings=settings)) for _ in range(2)]


@needs_store
def test_a_job_that_is_cancelled_anywhere_stops_computing(
    pair: list[RunningServer], directory: Path
) -> None:
    sound = write_sound(directory / "long.wav", 1800)
    seen = measure_cancellation([server.url for server in pair], AUDIO, sound)
    assert seen["state"] == "cancelled"
    # A second on a quiet machine, as loadtests.jobs.survival measures; the job itself takes longer.
    assert seen["seconds_of_computing_after"] < 5


@needs_store
def test_a_webhook_is_sent_to_a_host_that_is_allowed_only(
    pair: list[RunningServer], directory: Path
) -> None:
    received: list[tuple[dict[str, str], bytes]] = []
    arrived = threading.Event()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((dict(self.headers.items()), body))
            self.send_response(204)
            self.end_headers()
            arrived.set()

        def log_message(self, *_: object) -> None:
            pass

    sound = write_sound(directory / "short.wav", 2)
    with Client(pair[0].url) as client, HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        with pytest.raises(ForbiddenError, match="may not go to"):
            client.start_job(AUDIO, sound, webhook="https://169.254.169.254/")
        job = client.start_job(AUDIO, sound, webhook=f"http://127.0.0.1:{server.server_port}/hook")
        assert job.wait(60).value
        assert arrived.wait(30)
        server.shutdown()
    (headers, body), *_ = received
    assert json.loads(body)["data"]["location"] == job.location
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = b64encode(hmac.digest(SECRET.encode(), signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"


@needs_store
def test_every_job_is_answered_once_although_a_gateway_is_killed(
    pair: list[RunningServer], directory: Path
) -> None:
    # The last test of the pair, of which one is killed.
    count = 40
    sound = write_sound(directory / "piece.wav", 30)
    urls = [server.url for server in pair]
    seen = survive(urls, AUDIO, sound, count, pair[1].process.kill)
    assert seen["addresses"] == seen["answers"] == count
    assert seen["states"] == {"done": count}
    assert seen["changed_afterwards"] == 0
    assert seen["done_when_one_was_killed"] < count


@pytest.fixture(scope="module")
def single(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A gateway with a SQLite file."""
    settings = {"jobs_store": "sqlite", "jobs_dir": tmp_path_factory.mktemp("jobs")}
    options = ("--model-repo", str(repository), "--checkpoint", "none")
    with running_server(*options, settings=settings) as server:
        yield server


def test_recordings_over_the_limits_of_requests_go_through(
    single: RunningServer, directory: Path
) -> None:
    sounds = [write_sound(directory / f"{s}.wav", s) for s in (310, 700)]
    video = write_video(directory / "video.mp4", 130, size=(160, 128), rate=10)
    with Client(single.url) as client:
        response = httpx.post(
            f"{single.url}/predict/{AUDIO}", content=sounds[0].read_bytes(), timeout=60
        )
        assert response.status_code == 413
        # loadtests.jobs.long_recordings measures that memory does not grow with the length.
        job = client.start_job(AUDIO, sounds[1])
        assert job.wait(300).value
        progress = job.progress()
        assert progress.done == progress.total
        assert progress.total >= 11
        assert client.start_job(VIDEO, video).wait(120).value


def test_a_job_goes_on_where_a_stopped_and_a_killed_gateway_left_it(
    repository: Path, directory: Path, tmp_path: Path
) -> None:
    settings = {
        "jobs_store": "sqlite",
        "jobs_dir": tmp_path / "jobs",
        "jobs_lease_seconds": 2,
        "inference_threads": 1,
    }
    options = ("--model-repo", str(repository), "--checkpoint", "none")
    sound = write_sound(directory / "stopped.wav", 900)
    with running_server(*options, settings=settings) as server, Client(server.url) as client:
        job = client.start_job(AUDIO, sound)
        while (stopped := job.progress().done) < 3:
            time.sleep(0.02)
    with running_server(*options, settings=settings) as server, Client(server.url) as client:
        again = client.job(AUDIO, job.location)
        while (killed := again.progress().done) < stopped + 3:
            time.sleep(0.02)
        server.process.kill()
        server.process.wait()
    with running_server(*options, settings=settings) as server, Client(server.url) as client:
        again = client.job(AUDIO, job.location)
        assert again.wait(120).value
        progress = again.progress()
        rows = sum_of(server.url, r'^omnivec2_batch_rows_sum\{model="audio_events"\} (\S+)$')
        assert progress.total is not None
        # The last piece that was kept is computed again.
        assert 0 < rows <= 12 * (progress.total - killed + 1)
        assert document_of(server.url, job.location)["attempts"] == 2, "a stop does not count"
        other = client.start_job(AUDIO, sound)
        other.cancel()
        with pytest.raises(JobCancelledError):
            other.wait(60)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
def test_a_documented_example_runs(example: Example, single: RunningServer) -> None:
    code = example.code.replace(ADDRESS, single.url.rstrip("/"))
    strict = 'set -euo pipefail\ncurl() { command curl -sS --fail-with-body "$@"; }\n'
    strict += f'omnivec2() {{ "{sys.executable}" -m omnivec2_cli.main "$@"; }}\n'
    command = {
        "bash": ["bash", "-c", strict + code.replace("python -c", f'"{sys.executable}" -c')],
        "python": [sys.executable, "-c", code],
    }[example.language]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | EXACT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{example.name}\n{done.stdout}\n{done.stderr}"
    assert done.stdout.strip(), f"{example.name} printed nothing"
