"""A Triton server in explicit mode over a repository: it loads what it is asked to, and runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime as ort
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from omnivec2.arrays import Array, Batch
from omnivec2.model_config import CONFIG_FILE, read_config, read_steps
from omnivec2.passport import GRAPH_FILE

_Tensors = dict[str, Array]


class RepositoryTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # untyped
    """Triton's model control and inference, over ONNX Runtime.

    Args:
        repository: The model repository.

    Attributes:
        port: The port of its gRPC service.
        is_live: The answer to whether it is live.
        requests: The requests to load and unload so far, as (verb, model).
        refused: A map from models that it does not load to its messages.
        pinned: A map from models that it does not unload to its messages.
        factors: A map from models to the factor by which their answers are wrong.
    """

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._models: dict[tuple[str, str], Callable[[Batch], _Tensors]] = {}
        self.port = 0
        self.is_live = True
        self.requests: list[tuple[str, str]] = []
        self.refused: dict[str, str] = {}
        self.pinned: dict[str, str] = {}
        self.factors: dict[str, float] = {}

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def loaded(self) -> dict[str, set[int]]:
        """The models that are loaded, with their versions."""
        found: dict[str, set[int]] = {}
        for name, version in self._models:
            found.setdefault(name, set()).add(int(version))
        return found

    def load(self, *names: str) -> None:
        """Load models as at a start, without a request."""
        for name in names:
            self._load(name)

    def ServerLive(self, request: Any, context: grpc.ServicerContext) -> Any:
        return service_pb2.ServerLiveResponse(live=self.is_live)

    def RepositoryModelLoad(self, request: Any, context: grpc.ServicerContext) -> Any:
        name = request.model_name
        self.requests.append(("load", name))
        if name in self.refused:
            context.abort(grpc.StatusCode.INTERNAL, self.refused[name])
        self._load(name)
        return service_pb2.RepositoryModelLoadResponse()

    def RepositoryModelUnload(self, request: Any, context: grpc.ServicerContext) -> Any:
        name = request.model_name
        self.requests.append(("unload", name))
        if name in self.pinned:
            context.abort(grpc.StatusCode.INTERNAL, self.pinned[name])
        self._forget(name)
        return service_pb2.RepositoryModelUnloadResponse()

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:
        key = (request.model_name, request.model_version)
        if key not in self._models:
            message = f"Request for unknown model: '{key[0]}' version {key[1]} is not found"
            context.abort(grpc.StatusCode.NOT_FOUND, message)
        given = zip(request.inputs, request.raw_input_contents, strict=True)
        outputs = self._models[key](
            {
                tensor.name: np.frombuffer(raw, triton_to_np_dtype(tensor.datatype)).reshape(
                    tensor.shape
                )
                for tensor, raw in given
            }
        )
        response = service_pb2.ModelInferResponse(model_name=key[0], model_version=key[1])
        for wanted in request.outputs:
            array = outputs[wanted.name]
            if array.dtype == np.float32:
                array = array * np.float32(self.factors.get(key[0], 1.0))
            kind = np_to_triton_dtype(array.dtype)
            response.outputs.add(name=wanted.name, datatype=kind, shape=array.shape)
            response.raw_output_contents.append(array.tobytes())
        return response

    def _load(self, name: str) -> None:
        """Replace what is loaded of a model by what the repository holds now."""
        self._forget(name)
        steps = read_steps(read_config(self._repository / name / CONFIG_FILE))
        for version in (self._repository / name).glob("[0-9]*"):
            if steps:
                run = partial(self._run, [(step.model, step.version) for step in steps])
            else:
                run = partial(_answer, ort.InferenceSession(version / GRAPH_FILE))
            self._models[name, version.name] = run

    def _forget(self, name: str) -> None:
        self._models = {key: model for key, model in self._models.items() if key[0] != name}

    def _run(self, chain: list[tuple[str, str]], batch: Batch) -> _Tensors:
        """Run parts one after the other; tensors keep their names from part to part."""
        tensors: _Tensors = dict(batch)
        for key in chain:
            tensors |= self._models[key](tensors)
        return tensors


def _answer(session: ort.InferenceSession, batch: Batch) -> _Tensors:
    names = [node.name for node in session.get_outputs()]
    inputs = {node.name: batch[node.name] for node in session.get_inputs()}
    return dict(zip(names, session.run(names, inputs), strict=True))


@contextmanager
def repository_triton(
    repository: Path, host: str = "127.0.0.1", port: int = 0
) -> Iterator[RepositoryTriton]:
    """Serve a repository until the block ends; nothing is loaded yet."""
    triton = RepositoryTriton(repository)
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, server)
    triton.port = server.add_insecure_port(f"{host}:{port}")
    server.start()
    try:
        yield triton
    finally:
        server.stop(grace=1.0).wait()
