"""Inputs answered by the workers of a Ray cluster, through Ray Data.

::

    this process ─ blocks of inputs ─► workers, each with the network ─ rows ─► this process
    reads files of this machine        read objects of buckets                  writes the parts

Ray Data starts workers up to the cluster's size, holds inputs back while all are busy, and sends
what a lost node had to others. Nothing of it is repeated here.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import pickle
import sys
import tarfile
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow
import ray
from filelock import FileLock
from ray.data import ActorPoolStrategy, DataContext
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

import omnivec2
from omnivec2.errors import InputError, InvalidInputError, InvalidParameterError, OmniVecError
from omnivec2_api.batch.executions import (
    ClusterOptions,
    Done,
    GivenJobs,
    Job,
    JobStream,
    LocalExecution,
)
from omnivec2_api.batch.items import BatchRequest
from omnivec2_api.head_info import HeadInfo
from omnivec2_api.input_values import FileValue, read_file
from omnivec2_api.local_model import Model, batch_settings
from service.settings import Settings

_CHUNK_INPUTS = 128
_CHUNK_BYTES = 32 * 2**20
"""What a worker is given at a time: enough to fill its batches, and little to do again."""

_MOST_CPUS = 8
"""The cores of a worker unless told otherwise: more do not share one copy of the network well."""


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a cluster until the block ends; see ``ClusterOptions``.

    Raises:
        InvalidParameterError: The address is one of Ray's client protocol.
        OmniVecError: There is no such cluster, or it has another version.
    """
    if address.startswith("ray://"):
        raise InvalidParameterError(
            "Ray's client protocol cannot read this machine's files; run the command on a node of "
            "the cluster (--ray auto), or send it there with `ray job submit`",
            field="ray",
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # What Ray tells of lost nodes must not be between the lines of a command's own output.
    with redirect_stdout(sys.stderr):
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise OmniVecError(f"no Ray cluster at {address}: {error}") from error
        try:
            yield
        finally:
            ray.shutdown()


class RayExecution:
    """Inputs are answered on the cluster that this process is connected to.

    Args:
        repository: The model repository of this machine, which is sent to the workers.
        heads: The heads that answer.
        options: The address and the shape of the workers.
        on_worker: The callback for every worker that answers for the first time; it gets the
            number of workers so far.

    Attributes:
        heads: The heads that answer.
    """

    def __init__(
        self,
        repository: Path,
        heads: tuple[HeadInfo, ...],
        options: ClusterOptions,
        on_worker: Callable[[int], None],
    ) -> None:
        self.heads, self._options = heads, options
        self._repository, self._on_worker = repository, on_worker

    def run(self, jobs: JobStream, request: BatchRequest) -> Generator[Done]:
        """Yield the rows of all jobs as they come; see ``Execution.run``."""
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = False
        # A row is a chunk of inputs, and every row a block of its own, which goes to any worker.
        context.target_max_block_size = 1
        cpus, first = _room_for_workers(self._options)
        settings = batch_settings([head.route for head in self.heads])
        threads = {"inference_threads": cpus, "host_threads": cpus}
        settings = settings.model_copy(update=threads)
        packed = ray.put(_pack(self._repository))
        work = _Work(packed, settings, self.heads, request, jobs.has_parts)
        chunks = ray.data.read_datasource(_ChunkSource(jobs), override_num_blocks=1, num_cpus=0)
        answered = chunks.map(
            _Worker,
            fn_constructor_args=(work,),
            num_cpus=cpus,
            num_gpus=self._options.worker_gpus,
            # Clusters that grow have room for more workers later, up to what was asked for.
            compute=ActorPoolStrategy(
                min_size=1, initial_size=first, max_size=self._options.workers
            ),
        )
        workers: set[str] = set()
        try:
            for row in answered.iter_rows():
                if row["worker"] not in workers:
                    workers.add(row["worker"])
                    self._on_worker(len(workers))
                yield from pickle.loads(row["content"])
        except ray.exceptions.RayError as error:
            raise _own_error(error) from error


class _ChunkSource(Datasource):  # type: ignore[misc]
    """The inputs in chunks, read on the node of this process and not by workers.

    Args:
        jobs: The inputs.
    """

    def __init__(self, jobs: JobStream) -> None:
        super().__init__()
        self._jobs, self._folder = jobs, Path.cwd()

    @property
    def supports_distributed_reads(self) -> bool:
        """No other node has the files."""
        return False

    def estimate_inmemory_data_size(self) -> int | None:
        """Return that the size is not known."""
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        """Return one task, which yields the chunks one after the other."""
        jobs, folder = self._jobs, self._folder

        def read() -> Iterator[pyarrow.Table]:
            os.chdir(folder)
            for chunk in _chunks(jobs):
                yield _one_row(pickle.dumps(chunk))

        return [ReadTask(read, BlockMetadata(None, None, None, None))]


def _chunks(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    """Yield the inputs in chunks, with the contents of this machine's files."""
    chunk: list[Job] = []
    size = 0
    for job in jobs:
        value = job.item.value
        if isinstance(value, Path):
            value = _content(value)
        if isinstance(value, FileValue):
            size += len(value.data)
        chunk.append(replace(job, item=replace(job.item, value=value)))
        if len(chunk) >= _CHUNK_INPUTS or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _content(path: Path) -> FileValue | _Unreadable:
    """Return the content of a file, or why it cannot be read."""
    try:
        return read_file(path)
    except InputError as error:
        return _Unreadable(str(error))


@dataclass(frozen=True)
class _Unreadable:
    """A file that could not be read; reading it again fails alike.

    Attributes:
        reason: The message of the error.
    """

    reason: str

    def read(self) -> bytes:
        raise InvalidInputError(self.reason, field="inputs")


@dataclass(frozen=True)
class _Work:
    """What a worker does; the same for all of a run.

    Attributes:
        packed: The reference of the model repository, as an archive.
        settings: The settings of the runtime.
        heads: The heads that answer.
        request: What is asked of every input.
        has_parts: Whether an input may have several rows.
        version: The version of this package where the run was started.
    """

    packed: Any
    settings: Settings
    heads: tuple[HeadInfo, ...]
    request: BatchRequest
    has_parts: bool
    version: str = omnivec2.__version__


class _Worker:
    """A process of the cluster that holds the network.

    Args:
        work: What it does.
    """

    def __init__(self, work: _Work) -> None:
        if omnivec2.__version__ != work.version:
            raise OmniVecError(
                f"the cluster has omnivec2-serve {omnivec2.__version__}, and this command "
                f"{work.version}; install the same version"
            )
        self._work = work
        repository = _unpack(ray.get(work.packed), work.settings.cache_directory)
        model = Model(work.settings.model_copy(update={"model_repo": repository}))
        self._execution = LocalExecution(model, work.heads)
        self._name = ray.get_runtime_context().get_worker_id()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Answer a chunk of inputs."""
        chunk = pickle.loads(row["content"])
        done = self._execution.run(GivenJobs(chunk, self._work.has_parts), self._work.request)
        return {"content": pickle.dumps(list(done)), "worker": self._name}


def _one_row(content: bytes) -> pyarrow.Table:
    return pyarrow.table({"content": pyarrow.array([content], pyarrow.large_binary())})


def _room_for_workers(options: ClusterOptions) -> tuple[int, int]:
    """Return the cores of a worker, and how many workers there is room for now.

    Raises:
        OmniVecError: No node has room for one.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    sizes = [int(node.get("CPU", 0)) for node in nodes if node.get("CPU", 0) >= 1]
    cpus = options.worker_cpus or min([_MOST_CPUS, *sizes])
    room = sum(size // cpus for size in sizes)
    if options.worker_gpus:
        gpus = sum(node.get("GPU", 0) for node in nodes)
        room = min(room, int(gpus // options.worker_gpus))
    if room < 1:
        wanted = f"{cpus} cores and {options.worker_gpus:g} GPUs"
        raise OmniVecError(f"no node of the cluster has room for a worker of {wanted}")
    return cpus, min(room, options.workers or room)


def _pack(repository: Path) -> bytes:
    """Return a model repository as an archive; weights that graphs share are in it once."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(repository, arcname="")
    return packed.getvalue()


def _unpack(packed: bytes, cache: Path) -> Path:
    """Return the model repository of an archive, unpacked once on each node."""
    digest = hashlib.blake2b(packed, digest_size=16).hexdigest()
    place = cache / "ray" / digest
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f"{digest}.lock")):
        if not place.exists():
            with tempfile.TemporaryDirectory(dir=place.parent) as folder:
                with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                    archive.extractall(Path(folder, "repository"), filter="data")
                os.replace(Path(folder, "repository"), place)
    return place


def _own_error(error: BaseException) -> OmniVecError:
    """Return the error of this project that ended a run, or one that tells what Ray said."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OmniVecError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    lines = [line for line in str(error).splitlines() if line.strip()]
    return OmniVecError(f"the cluster failed: {lines[-1].strip() if lines else error!r}")
