"""A process and what it started are found."""

from __future__ import annotations

import os
import subprocess
import sys

from loadtests.support.process_tree import processes_below


def test_children_are_found_below_their_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        found = processes_below(os.getpid())
        assert found[0] == os.getpid()
        assert child.pid in found
        assert processes_below(child.pid) == [child.pid]


def test_children_that_end_meanwhile_are_no_error() -> None:
    command = "i=0; while [ $i -lt 200 ]; do /bin/true & i=$((i + 1)); done; wait"
    with subprocess.Popen(["/bin/sh", "-c", command]) as parent:
        while parent.poll() is None:
            assert processes_below(os.getpid())[0] == os.getpid()


def test_nothing_is_below_a_process_that_has_ended() -> None:
    with subprocess.Popen(["/bin/true"]) as child:
        child.wait()
        assert processes_below(child.pid) == [child.pid]
