"""Graphs are loaded once, by threads that leave the event loop its processor time."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from service.runtimes.embedded.engine_choice.engine_options import EngineOption
from service.runtimes.embedded.engines.base import LoadOptions
from service.runtimes.embedded.graph_store import GraphStore
from service.runtimes.embedded.repository_reader import StoredGraph, read_repository, signatures
from service.settings import Settings
from tests.support.model_repositories.tiny_models import classification, write_repository
from tests.support.service_parts.stub_engines import ErringGraph, StubEngine


class PriorityWatcher(StubEngine):
    """Remember the priorities of the threads that load."""

    def __init__(self) -> None:
        super().__init__("watcher")
        self.seen: list[int] = []

    def load(self, stored: StoredGraph, options: LoadOptions) -> ErringGraph:
        self.seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return super().load(stored, options)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_threads_that_an_engine_starts_while_loading_have_a_lower_priority(
    tmp_path: Path,
) -> None:
    root = write_repository(tmp_path / "repository", [classification("text/topic", "a", "b")])
    engine = PriorityWatcher()
    store = GraphStore(Settings(model_repo=root, cache_dir=tmp_path / "cache"))
    models = list(read_repository(root).models.values())
    store.load(models, EngineOption(engine, "fp32"), signatures(root))
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert engine.seen
    assert all(priority > own for priority in engine.seen)
    store.close()
