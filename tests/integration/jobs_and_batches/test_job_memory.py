"""The memory of a gateway and of its decoders while it answers a long recording as a job."""

from __future__ import annotations

from pathlib import Path

from loadtests.jobs.long_recordings import watched_memory
from loadtests.jobs.recordings import write_sound
from omnivec2_api.client import Client
from tests.support.gateways.servers import running_server
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository

ROUTE = "audio/events"
SLACK_BYTES = 32 * 2**20
"""Far less than the pieces of the long recording that the short one does not have: 100 MB."""


def test_memory_does_not_grow_with_the_length_of_a_recording(tmp_path: Path) -> None:
    heads = [head for head in tiny_heads() if head.route == ROUTE]
    repository = write_repository(tmp_path / "repository", heads)
    short, long = (write_sound(tmp_path / f"{s}.wav", s) for s in (330, 1930))
    settings = {"jobs_store": "sqlite", "jobs_dir": tmp_path / "jobs"}
    options = ("--model-repo", str(repository), "--checkpoint", "none")

    def most_memory(sound: Path) -> int:
        with watched_memory(server.process.pid) as most:
            assert client.start_job(ROUTE, sound).wait(300).value
        return most[0]

    with running_server(*options, settings=settings) as server, Client(server.url) as client:
        usual = max(most_memory(short) for _ in range(3))
        assert most_memory(long) < usual + SLACK_BYTES
