"""A program that imports the codecs once and forks decoder processes: a new one takes milliseconds.

It has a single thread and never decodes anything itself, so that every fork starts clean::

    python -m service.decoding.nursery FD MEMORY_BYTES ANSWER_BYTES MODULE...

It is told to fork by a byte on the socket FD that carries the worker's socket, and answers with the
number of the new process. It ends, and its children do, when that socket is closed.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import resource
import signal
import socket
import struct
import sys

PID = struct.Struct("<q")
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Import the modules that are named, and fork until the gateway is gone."""
    # Ctrl-C in a terminal reaches all processes; the gateway decides when these end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children that end leave nothing behind
    descriptor, memory_bytes, answer_bytes, *modules = sys.argv[1:]
    for module in ("service.decoding.worker", *modules):
        importlib.import_module(module)
    # What was imported is never looked through for garbage, which decoders do after each input, and
    # its memory stays shared with them.
    gc.freeze()
    commands = socket.socket(fileno=int(descriptor))
    commands.sendall(PID.pack(os.getpid()))
    while True:
        command, descriptors, _, _ = socket.recv_fds(commands, 1, 1)
        if not command:
            return
        pid = os.fork()
        if pid == 0:
            commands.close()
            _work(descriptors[0], int(memory_bytes), int(answer_bytes))
        for number in descriptors:
            os.close(number)
        commands.sendall(PID.pack(pid))


def _work(descriptor: int, memory_bytes: int, answer_bytes: int) -> None:
    """Be a decoder process; never returns."""
    from service.decoding.worker import work

    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # decoders that start programs wait for them
        limit_process(memory_bytes)
        work(socket.socket(fileno=descriptor), answer_bytes)
    finally:
        os._exit(0)


def limit_process(memory_bytes: int) -> None:
    """Limit this process's memory, and end it with its parent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Of what may be written, not of addresses: codecs' threads reserve many that they never use.
    with open("/proc/self/status", encoding="ascii") as file:
        (data,) = (line for line in file if line.startswith("VmData:"))
    most = int(data.split()[1]) * 1024 + memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
