"""The gateway's side of the processes that decode: starting, asking and ending them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from omnivec2.errors import ModelNotReadyError
from service.decoding.nursery import PID
from service.decoding.wire import WireError, receive, send

_START_SECONDS = 60.0
"""The longest time that importing the codecs, or a fork, may take on a busy machine."""

_LEAST_SECONDS = 1e-3


class DecoderLostError(Exception):
    """A decoder process died, or was ended because it took too long."""


class Nursery:
    """Starts decoder processes by forking one that has imported the codecs.

    Args:
        memory_bytes: The memory that one input may take in a decoder process.
        answer_bytes: The most bytes of the arrays of an answer.

    Attributes:
        modules: The names of the modules that are imported before the first fork.
    """

    def __init__(self, memory_bytes: int, answer_bytes: int) -> None:
        self._numbers = [str(memory_bytes), str(answer_bytes)]
        self.modules: Sequence[str] = ()
        self._answer_bytes = answer_bytes
        self._lock = threading.Lock()
        self._commands: socket.socket | None = None
        self._program: subprocess.Popen[bytes] | None = None
        self._closed = False

    def start_decoder(self) -> DecoderProcess:
        """Start a decoder process.

        Raises:
            ModelNotReadyError: It cannot be started.
        """
        with self._lock:
            if self._closed:
                raise ModelNotReadyError("the service is shutting down")
            try:
                return self._fork()
            except (OSError, WireError):
                # It was killed, perhaps by the system for want of memory: once more.
                self._end()
            try:
                return self._fork()
            except (OSError, WireError) as error:
                self._end()
                raise ModelNotReadyError(f"no decoder process can be started: {error}") from error

    def close(self) -> None:
        """End the nursery; decoder processes end with it."""
        with self._lock:
            self._closed = True
            self._end()

    def _fork(self) -> DecoderProcess:
        commands = self._commands or self._start()
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(commands, [b"f"], [theirs.fileno()])
            pid = _read_pid(commands)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return DecoderProcess(pid, ours, self._answer_bytes)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            # One thread per process: what runs beside it has the other cores.
            environment = os.environ | {
                **{"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            }
            self._program = subprocess.Popen(
                [
                    *(sys.executable, "-m", "service.decoding.nursery"),
                    *(str(theirs.fileno()), *self._numbers, *self.modules),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment,
            )
        self._commands = ours
        ours.settimeout(_START_SECONDS)
        _read_pid(ours)
        return ours

    def _end(self) -> None:
        if self._commands is not None:
            self._commands.close()
            self._commands = None
        if self._program is not None:
            self._program.kill()
            self._program.wait()
            self._program = None


class DecoderProcess:
    """A process that decodes one input at a time.

    Args:
        pid: The number of the process.
        connection: The connection to it.
        answer_bytes: The most bytes of the arrays of an answer.

    Attributes:
        had_inputs: Whether it was asked before.
    """

    def __init__(self, pid: int, connection: socket.socket, answer_bytes: int) -> None:
        self.pid = pid
        self.had_inputs = False
        self._connection = connection
        self._answer_bytes = answer_bytes

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Send an input and return what became of it; see ``worker``.

        Args:
            request: The input and its preprocessor.
            seconds: The time it may take.

        Raises:
            TimeoutError: It took longer. The process is of no use any more.
            DecoderLostError: The process has died.
        """
        self.had_inputs = True
        # No time at all would mean not to wait for what is there already.
        self._connection.settimeout(max(seconds, _LEAST_SECONDS))
        try:
            send(self._connection, request)
            return receive(self._connection, self._answer_bytes)
        except TimeoutError:
            raise
        except (OSError, WireError) as error:
            raise DecoderLostError(str(error)) from error

    def kill(self) -> None:
        """End the process at once, and free the connection to it."""
        self.interrupt()
        self._connection.close()

    def interrupt(self) -> None:
        """End the process at once, so that whoever asks it in another thread finds it lost.

        Not if it has ended: its number may be another's by then.
        """
        hung_up = select.poll()
        hung_up.register(self._connection, 0)
        if not hung_up.poll(0):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)


def _read_pid(commands: socket.socket) -> int:
    data = commands.recv(PID.size, socket.MSG_WAITALL)
    if len(data) < PID.size:
        raise WireError("the process that starts decoders has ended")
    (pid,) = PID.unpack(data)
    return int(pid)
