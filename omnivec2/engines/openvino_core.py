"""Making OpenVINO's core so that signals are safe afterwards.

For the tiles of Intel's AMX, the plugin for CPUs gives the thread that loads it a stack for
signals, and takes the stack back when it is unloaded. In another thread it can only free the
memory: the first thread keeps its address, and the next signal ends the process with a segmentation
fault, without a word. The core is therefore made, and the plugin loaded, by a thread that ends at
once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino as ov


def make_core() -> ov.Core:
    """Return a new core of OpenVINO whose plugin for CPUs is loaded.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    import openvino as ov

    def make() -> ov.Core:
        core = ov.Core()
        core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")  # loads the plugin
        return core

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(make).result()
