"""ONNX Runtime inside the gateway's process: one session per model, on the CPU."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from omnivec2.errors import ArtifactError, ModelNotReadyError, RefusedTensorsError
from omnivec2.passport import GRAPH_FILE
from omnivec2.preprocess import Array
from omnivec2.spec import HeadSpec
from service.repository import StoredModel, read_repository
from service.runtimes.base import Health, Inference, Model
from service.runtimes.batcher import Batcher
from service.settings import Settings, available_cores

_LOG = logging.getLogger(__name__)

# ONNX Runtime raises one unrelated class per status code; these are all of them.
_ENGINE_ERRORS: tuple[type[Exception], ...] = tuple(
    kind
    for kind in vars(ort_errors).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)

# What operators raise at an index outside of a table, and at sizes that do not go together.
_REFUSALS = (ort_errors.InvalidArgument, ort_errors.Fail)

_LOAD_ERRORS: tuple[type[Exception], ...] = (ArtifactError, *_ENGINE_ERRORS)

# Any size does for the dynamic axes of the first run.
_TRIAL_LENGTH = 8


class EmbeddedRuntime:
    """Serves a model repository from this process.

    Args:
        settings: where the repository lies and how many threads to use.
        on_batch: told (model name, rows, seconds) of every computed batch.
    """

    def __init__(
        self,
        settings: Settings,
        on_batch: Callable[[str, int, float], None] = lambda *_: None,
    ) -> None:
        self._settings = settings
        self._on_batch = on_batch
        self._models: dict[str, Model] = {}
        self._graphs: dict[str, Graph] = {}
        self._refused: dict[str, str] = {}
        self._batcher: Batcher | None = None

    async def start(self) -> None:
        """Load every model of the repository, several at a time.

        Raises:
            ArtifactError: there is no repository, or nothing in it can be served.
        """
        started = time.perf_counter()
        repository = await asyncio.to_thread(
            read_repository, self._settings.model_repo, self._settings.only
        )
        self._refused.update(repository.refused)
        with ThreadPoolExecutor(available_cores(), "load") as pool:
            loop = asyncio.get_running_loop()
            await asyncio.gather(
                *(
                    loop.run_in_executor(pool, self._load, stored, len(repository.models))
                    for stored in repository.models.values()
                )
            )
        if not self._models:
            reasons = "; ".join(self._refused.values()) or "it is empty"
            raise ArtifactError(f"{self._settings.model_repo}: nothing can be served: {reasons}")
        limit = self._settings.max_batch_rows
        self._batcher = Batcher(
            self._run,
            {name: min(m.spec.max_batch_size, limit) for name, m in self._models.items()},
            workers=self._settings.inference_workers,
            capacity=self._settings.max_queue_rows,
            on_batch=self._on_batch,
        )
        seconds = time.perf_counter() - started
        _LOG.info("%d models loaded in %.1f s", len(self._models), seconds)

    def models(self) -> Mapping[str, Model]:
        """Name -> loaded model; empty until every model is loaded."""
        return self._models if self._batcher else {}

    @property
    def waiting_rows(self) -> int:
        """Samples that wait for a worker."""
        return self._batcher.waiting_rows if self._batcher else 0

    async def refresh(self) -> bool:
        """The repository is read once, at the start."""
        return False

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        """Run a batch; see ``Runtime.infer``."""
        if self._batcher is None or model.name not in self._models:
            raise ModelNotReadyError(f"{model.name} is not loaded")
        return await self._batcher.submit(model.name, inputs)

    async def infer_all(
        self, models: Sequence[Model], inputs: Mapping[str, Array]
    ) -> list[Inference]:
        """Run a batch through several models; see ``Runtime.infer_all``."""
        return list(await asyncio.gather(*(self.infer(model, inputs) for model in models)))

    async def health(self) -> Health:
        """Ready once every required model is loaded (any one if none is required)."""
        if self._batcher is None:
            return Health(False, "models are being loaded", dict(self._refused))
        required = {route.replace("/", "_") for route in self._settings.required}
        if missing := required - self._models.keys():
            detail = f"required models are not loaded: {', '.join(sorted(missing))}"
            return Health(False, detail, dict(self._refused))
        return Health(True, "", dict(self._refused))

    async def close(self) -> None:
        """Finish the running batches and free the sessions."""
        if self._batcher is not None:
            await asyncio.to_thread(self._batcher.close)
        self._batcher = None
        self._graphs.clear()
        self._models.clear()

    def _load(self, stored: StoredModel, total: int) -> None:
        """Load a model and let it answer once; one that cannot is refused."""
        name = stored.spec.name
        try:
            graph = Graph(
                stored.directory / GRAPH_FILE,
                [tensor.name for tensor in stored.spec.outputs],
                self._settings.intra_op_threads,
            )
            _try_out(graph, stored.spec)
        except _LOAD_ERRORS as error:
            self._refused[name] = str(error)
            _LOG.error("%s is not served: %s", name, error)
            return
        self._graphs[name] = graph
        self._models[name] = Model(stored.spec, stored.version)
        _LOG.info("loaded %s (%d of %d)", stored.spec.route, len(self._models), total)

    def _run(self, name: str, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        try:
            return self._graphs[name].run(inputs)
        except _REFUSALS as error:
            _LOG.warning("%s refused its inputs: %s", name, error)
            raise RefusedTensorsError(f"{name} cannot take these values") from error
        except _ENGINE_ERRORS as error:
            _LOG.error("%s failed: %s", name, error)
            raise ModelNotReadyError(f"the engine failed to run {name}") from error


class Graph:
    """A session whose memory does not creep and whose idle threads do not spin.

    Args:
        path: the ONNX file.
        outputs: names of the tensors to compute, in the order of the head spec.
        threads: cores one run may use.
    """

    def __init__(self, path: Path, outputs: Sequence[str], threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._outputs = list(outputs)
        self.takes = frozenset(node.name for node in self._session.get_inputs())
        self.gives = frozenset(node.name for node in self._session.get_outputs())

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run a batch; inputs the graph does not use are left out."""
        used = {name: array for name, array in inputs.items() if name in self.takes}
        values = self._session.run(self._outputs, used)
        return dict(zip(self._outputs, values, strict=True))


def _try_out(graph: Graph, spec: HeadSpec) -> None:
    """Run zeros through a graph and compare the outputs with the head spec.

    Raises:
        ArtifactError: tensors are not those the head spec names.
    """
    declared = {tensor.name for tensor in spec.inputs}
    if not graph.takes <= declared or not {t.name for t in spec.outputs} <= graph.gives:
        raise ArtifactError(
            f"{spec.name}: the graph takes {sorted(graph.takes)}, gives {sorted(graph.gives)}, "
            "which are not the tensors of its head spec"
        )
    zeros = {
        tensor.name: np.zeros(
            (1, *(_TRIAL_LENGTH if size < 0 else size for size in tensor.shape)), tensor.dtype
        )
        for tensor in spec.inputs
    }
    outputs = graph.run(zeros)
    for tensor in spec.outputs:
        shape = outputs[tensor.name].shape
        fits = len(shape) == len(tensor.shape) + 1 and all(
            want in (-1, have) for want, have in zip(tensor.shape, shape[1:], strict=True)
        )
        if not fits:
            raise ArtifactError(
                f"{spec.name}: {tensor.name} has shape {shape[1:]}, "
                f"the head spec says {tensor.shape}"
            )
