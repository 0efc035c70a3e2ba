"""Several gateway processes on one port, for machines with more cores than one process can use.

::

    parent ─ fork ─► process 0: loads what the parent has not, measures engines, listens
           ─ fork ─► process 1 ... N-1, once the first is ready
           ─ wait ─► one that ends is replaced; a stop signal is passed on, and all are waited for

Every signal writes to a pipe that the parent waits at: the system may give one to any thread, and a
thread that waits for a child is not woken by another's signal.

Each process listens at the same address (``SO_REUSEPORT``), and the system spreads connections over
them. A socket that they share would be simpler, but whichever process wakes up first accepts all
connections that wait, and keeps them: one of two was seen to serve all of 16 clients. The parent
itself serves nothing. A process that is still loading does not listen, so that no request waits for
it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import NoReturn

from omnivec2.errors import ArtifactError
from service.settings import Settings

_LOG = logging.getLogger(__name__)

_RESTART_SECONDS = (0.1, 1.0, 5.0, 30.0)
"""The pause before a process is replaced, by how often in a row it ended without being ready."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_WAKING_SIGNALS = (*_STOP_SIGNALS, signal.SIGCHLD)
_FAILED = 1


@dataclass
class _Child:
    """A process of the group.

    Attributes:
        index: Its place in the group, which its replacement takes over.
        ready: The reading end of a pipe: a byte once it is ready, the end once it has ended.
        failures: The times in a row that a process of this place ended without being ready.
    """

    index: int
    ready: int
    failures: int
    _was_ready: bool = False

    def was_ready(self) -> bool:
        """Whether it has been ready; of one that has not ended, this waits until it is."""
        self._was_ready = self._was_ready or os.read(self.ready, 1) != b""
        return self._was_ready


@dataclass
class ProcessGroup:
    """A parent and its processes.

    Attributes:
        count: The number of processes.
        serve: A function that serves in a process, until it is to stop: (its place, a callback
            for when it is ready).
    """

    count: int
    serve: Callable[[int, Callable[[], None]], None]
    _children: dict[int, _Child] = field(default_factory=dict)
    _stopping: bool = False
    _watched: int = -1
    _alive: int = -1
    _signals: int = -1

    def run(self) -> None:
        """Start the processes, replace those that end, and return once all have stopped.

        Raises:
            ArtifactError: The first process could not serve; its log says why.
        """
        self._watched, self._alive = os.pipe()
        self._signals, woken = os.pipe2(os.O_NONBLOCK)
        before = {number: signal.signal(number, self._handle) for number in _WAKING_SIGNALS}
        woken_before = signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        try:
            self._run()
        finally:
            signal.set_wakeup_fd(woken_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            for pipe in (self._watched, self._alive, self._signals, woken):
                os.close(pipe)

    def _run(self) -> None:
        # The first measures engines and fills caches, which the others then find.
        first = self._start(0, 0)
        while first.ready not in self._wait(first.ready):
            pass
        if not first.was_ready() and not self._stopping:
            self._wait_for_end()
            raise ArtifactError("the service could not be started; see the log")
        for index in range(1, self.count):
            if not self._stopping:
                self._start(index, 0)
        while self._children:
            self._replace(*self._wait_for_end())

    def _wait(self, *pipes: int, seconds: float | None = None) -> list[int]:
        """Wait for a signal or one of some pipes, and return which of them can be read."""
        found = select.select([self._signals, *pipes], [], [], seconds)[0]
        if self._signals in found:
            os.read(self._signals, 4096)
        return found

    def _wait_for_end(self) -> tuple[int, int]:
        """Wait until a process has ended, and return its identifier and its status."""
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid:
                return pid, status
            self._wait()

    def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until the group is to stop."""
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0:
            self._wait(seconds=left)

    def _replace(self, pid: int, status: int) -> None:
        """Replace a process that has ended, unless the group is stopping."""
        child = self._children.pop(pid, None)
        if child is None:
            return
        failures = 0 if child.was_ready() else child.failures + 1
        os.close(child.ready)
        if self._stopping:
            return
        reason = os.waitstatus_to_exitcode(status)
        _LOG.error("process %d (pid %d) ended with %d; it is replaced", child.index, pid, reason)
        self._pause(_RESTART_SECONDS[min(failures, len(_RESTART_SECONDS) - 1)])
        if not self._stopping:
            self._start(child.index, failures)

    def _start(self, index: int, failures: int) -> _Child:
        """Fork one process."""
        ready, report = os.pipe()
        # A signal that comes before the process has its own handlers waits until it has.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        pid = os.fork()
        if pid == 0:
            os.close(ready)
            os.close(self._alive)
            self._run_child(index, report)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        os.close(report)
        child = _Child(index, ready, failures)
        self._children[pid] = child
        if self._stopping:  # a signal came between
            os.kill(pid, signal.SIGTERM)
        return child

    def _run_child(self, index: int, report: int) -> NoReturn:
        """Serve in a new process, which never returns into the parent's code."""
        # Of a session of its own: an interrupt at the terminal reaches it through the parent alone.
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in _WAKING_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        threading.Thread(target=_stop_with_parent, args=(self._watched,), daemon=True).start()
        status = _FAILED
        try:
            self.serve(index, lambda: _report(report))
            status = 0
        except ArtifactError as error:
            print(f"error: {error}", file=sys.stderr)
        except BaseException:
            _LOG.exception("process %d failed", index)
        finally:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _handle(self, number: int, _: FrameType | None) -> None:
        """Pass a stop signal on: processes drain at the first, and end at once at the second."""
        if number not in _STOP_SIGNALS:
            return
        self._stopping = True
        for pid in list(self._children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def process_settings(settings: Settings) -> Settings:
    """Return the settings of one of several processes: its share of threads and limits.

    A request's limits stay as they are; what all requests together may use is divided.
    """
    count = settings.processes
    return settings.model_copy(
        update={
            "inference_threads": max(1, settings.inference_workers // count),
            "host_threads": max(1, settings.host_workers // count),
            "max_pending_requests": max(1, settings.max_pending_requests // count),
            "max_pending_bytes": max(settings.max_body_bytes, settings.max_pending_bytes // count),
            "max_queue_rows": max(1, settings.max_queue_rows // count),
            "response_cache_mib": -(-settings.response_cache_mib // count),
        }
    )


def _report(pipe: int) -> None:
    with contextlib.suppress(OSError):
        os.write(pipe, b"1")


def _stop_with_parent(watched: int) -> None:
    """Drain this process when the parent is gone, however it ended."""
    while os.read(watched, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
