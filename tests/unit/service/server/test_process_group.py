"""Processes are forked for real; what they serve is a line in a file."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from omnivec2.errors import ArtifactError
from service.server.process_group import ProcessGroup, process_settings
from service.settings import Settings

# Threads of the test runner take part in nothing that the processes do.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


class Served:
    """What the processes of a group have done, in files that outlive them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def pids(self, index: int) -> list[int]:
        """The processes that have been at a place, in order."""
        path = self.directory / str(index)
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def serve(self, index: int, on_ready: Callable[[], None]) -> None:
        with (self.directory / str(index)).open("a") as file:
            file.write(f"{os.getpid()}\n")
        on_ready()
        signal.pause()

    def wait_for(self, index: int, count: int) -> int:
        deadline = time.monotonic() + 20
        while len(self.pids(index)) < count:
            assert time.monotonic() < deadline, f"{self.pids(index)} at {index}"
            threading.Event().wait(0.01)
        return self.pids(index)[count - 1]


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path)


def in_background(*calls: Callable[[], object]) -> threading.Thread:
    """Do one thing after the other while the group runs in the main thread, as signals need it."""

    def run() -> None:
        try:
            for call in calls:
                call()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_stop_signal_reaches_every_process(served: Served) -> None:
    waits = [lambda index=index: served.wait_for(index, 1) for index in range(3)]
    stopper = in_background(*waits)
    ProcessGroup(3, served.serve).run()
    stopper.join()
    for index in range(3):
        (pid,) = served.pids(index)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_stop_signal_is_seen_whichever_thread_the_system_gives_it_to(served: Served) -> None:
    def stop() -> None:
        served.wait_for(1, 1)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    stopper = threading.Thread(target=stop)
    stopper.start()
    ProcessGroup(2, served.serve).run()
    stopper.join()


def test_a_process_that_is_killed_is_replaced_at_its_place(served: Served) -> None:
    stopper = in_background(
        lambda: served.wait_for(1, 1),
        lambda: os.kill(served.pids(1)[0], signal.SIGKILL),
        lambda: served.wait_for(1, 2),
    )
    ProcessGroup(2, served.serve).run()
    stopper.join()
    assert len(served.pids(0)) == 1
    first, second = served.pids(1)
    assert first != second


def test_a_group_whose_first_process_cannot_serve_ends_with_an_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail(index: int, on_ready: Callable[[], None]) -> None:
        raise ArtifactError("there are no models")

    with pytest.raises(ArtifactError, match="could not be started"):
        ProcessGroup(2, fail).run()
    assert "error: there are no models" in capfd.readouterr().err


def test_a_process_ends_with_its_parent_however_that_ends(served: Served) -> None:
    parent = os.fork()
    if parent == 0:
        ProcessGroup(1, served.serve).run()
        os._exit(0)
    child = served.wait_for(0, 1)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and not _is_zombie(child):
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return True


def test_processes_divide_what_all_requests_use_and_not_what_one_may() -> None:
    settings = Settings(
        processes=4,
        inference_threads=16,
        host_threads=2,
        max_pending_bytes=2**28,
        response_cache_mib=6,
    )
    own = process_settings(settings)
    assert (own.inference_threads, own.host_threads) == (4, 1)
    assert own.max_pending_requests == settings.max_pending_requests // 4
    assert own.max_queue_rows == settings.max_queue_rows // 4
    assert own.max_pending_bytes == settings.max_body_bytes == 2**26
    assert own.max_queue_seconds == settings.max_queue_seconds
    assert own.response_cache_mib == 2
