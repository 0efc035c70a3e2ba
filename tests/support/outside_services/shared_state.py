"""A real Redis for a test, on loopback and a free port, without anything on disk."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as NotConnectedError

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")

needs_store = pytest.mark.skipif(
    SERVER is None, reason="redis-server is not installed: make install-system"
)


class Store:
    """A Redis that can be killed, stopped for a while and started again at its address."""

    def __init__(self, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self._options = options
        self._directory = tempfile.mkdtemp()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        assert SERVER is not None, "redis-server is installed"
        command = [SERVER, "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        command += ["--dir", self._directory, *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        last = time.monotonic() + 10
        while True:
            try:
                self.client().ping()
                return
            except AuthenticationError:
                return
            except NotConnectedError:
                assert time.monotonic() < last, "the store does not start"
                time.sleep(0.02)

    def client(self) -> Redis:
        """Return a client of its own."""
        return Redis(host="127.0.0.1", port=self.port, decode_responses=True, socket_timeout=5)

    def kill(self) -> None:
        """End it at once, with all that it knows."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let it answer nothing, with its connections open, until the block ends."""
        assert self._process is not None, "it is started"
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def remove(self) -> None:
        """End it, and remove its directory."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


@contextmanager
def running_store(*options: str) -> Iterator[Store]:
    """Run a store until the block ends."""
    store = Store(*options)
    try:
        store.start()
        yield store
    finally:
        store.remove()
