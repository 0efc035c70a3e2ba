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
