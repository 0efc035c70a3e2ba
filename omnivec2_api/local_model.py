"""A network in this process, without a server: ``omnivec2.load``."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from omnivec2.errors import OmniVecError
from omnivec2_api.head_info import HeadInfo, make_head_info
from omnivec2_api.input_values import read_input
from omnivec2_api.local.loaded_plane import LoadedPlane
from omnivec2_api.local.loop_thread import LoopThread
from omnivec2_api.predictor import Predictor, TaskAnswers, checked_parameters, failed_future
from omnivec2_api.repository_cache import find_repository
from service.http.routes.model_list import describe
from service.settings import Settings

_UNLIMITED_ROWS = 2**31
"""Samples that may wait for a worker: callers wait for their answers, so that nothing piles up."""

_INPUTS_PER_WORKER = 32
"""Inputs of a batch that are under way for each worker: enough to fill its batches."""

_LEAST_CONCURRENCY = 64


def load(
    source: str | PathLike[str] = "checkpoints/reference",
    *,
    only: str | Sequence[str] = (),
    layout: Literal["shared", "fused"] | None = None,
    engine: str | None = None,
    precision: Literal["auto", "fp32", "bf16", "int8"] | None = None,
    threads: int | None = None,
    isolate_decoders: bool = False,
) -> Model:
    """Load a network into this process, with the engines and the preprocessing of the service.

    Neither PyTorch nor a server is needed. Settings that are not given here are those of
    ``omnivec2 serve``: from ``OMNIVEC2_…`` in the environment, or the defaults.

    Args:
        source: The directory of an exported checkpoint, or a model repository.
        only: The names of the heads to load, such as ``["image/classification"]``, or one name; all
            if empty.
        layout: The layout of a checkpoint's repository: one trunk for all heads, or one each.
        engine: The engine that runs the graphs; by default the fastest that answers like the
            network.
        precision: The precision to compute in.
        threads: The number of batches computed at the same time; by default one per core.
        isolate_decoders: Whether files are decoded in processes of their own, so that one that
            crashes its decoder costs its own answer only. For files of strangers.

    Raises:
        ArtifactError: The directory holds nothing that can be served here.
    """
    given = {
        "only": ((only,) if isinstance(only, str) else tuple(only)) or None,
        "engine": engine,
        "engine_precision": precision,
        "inference_threads": threads,
    }
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    settings = Settings(runtime="embedded", required=(), max_queue_rows=_UNLIMITED_ROWS, **chosen)
    repository = find_repository(Path(source).expanduser(), settings.cache_directory, layout)
    return Model(
        settings.model_copy(update={"model_repo": repository, "isolate_decoders": isolate_decoders})
    )


def open_repository(repository: Path, only: Sequence[str]) -> Model:
    """Load heads of a model repository with the settings of the service, isolation included.

    Raises:
        ArtifactError: Nothing in the repository can be served here.
    """
    return Model(batch_settings(only).model_copy(update={"model_repo": repository}))


def batch_settings(only: Sequence[str]) -> Settings:
    """Return the settings of the service for many inputs that wait for each other.

    Args:
        only: The names of the heads to load.
    """
    settings = Settings(runtime="embedded", only=tuple(only), required=())
    return settings.model_copy(update={"max_queue_rows": _UNLIMITED_ROWS})


class Model(Predictor):
    """A loaded network. Close it, or use it in a ``with`` block; see ``load``.

    Args:
        settings: The settings of the runtime, as for the gateway.

    Raises:
        ArtifactError: Nothing in the repository can be served.
    """

    def __init__(self, settings: Settings) -> None:
        self._loop = LoopThread()
        self._plane = LoadedPlane(settings)
        self._settings = settings
        # What a caller forgets to close is closed with the object, except at the very end, when
        # threads are gone.
        self._finalizer = weakref.finalize(self, _close, self._loop, self._plane)
        self._finalizer.atexit = False
        try:
            self._loop.call(self._plane.start())
        except BaseException:
            self.close()
            raise

    @property
    def heads(self) -> Mapping[str, HeadInfo]:
        """The loaded heads, by their names ``<modality>/<task>``."""
        heads = self._plane.plane.heads
        return {route: make_head_info(describe(heads[route])) for route in sorted(heads)}

    @property
    def concurrency(self) -> int:
        """The number of inputs of a batch that are under way at the same time by default."""
        return max(_LEAST_CONCURRENCY, _INPUTS_PER_WORKER * self._settings.inference_workers)

    def submit(
        self,
        modality: str,
        tasks: Sequence[str],
        value: Any,
        parameters: Mapping[str, Any],
        *,
        strict: bool = False,
    ) -> Future[TaskAnswers]:
        """Start to answer one input; see ``Predictor.submit``."""
        try:
            read = read_input(modality, value)
            work = self._plane.answer(modality, tasks, read, checked_parameters(parameters), strict)
        except OmniVecError as error:
            return failed_future(error)
        return self._loop.submit(work)

    def close(self) -> None:
        """Finish what runs and free the models; closing again does nothing."""
        self._finalizer()


def _close(loop: LoopThread, plane: LoadedPlane) -> None:
    if loop.is_current:  # the garbage collector runs in any thread, and this one cannot wait
        loop.submit(plane.close())
        return
    try:
        loop.call(plane.close())
    finally:
        loop.stop()
