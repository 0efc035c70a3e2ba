"""A Triton server of no models but with Triton's own protocol, in the test's event loop."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from export.repository.config_writer import model_config
from omnivec2.model_config import parse_config, set_passport
from omnivec2.passport import PARITY_TOLERANCE, ParityEntry, Passport
from omnivec2.spec import HeadSpec, TensorSpec
from tests.support.service_parts.service_fakes import letters_spec

DIGEST = "0" * 64
Code = grpc.StatusCode


def passport(model: str, **fields: object) -> Passport:
    """A passport that is in order."""
    values: dict[str, Any] = {
        "model": model,
        "exporter": "tests",
        "opset": 18,
        "versions": {},
        "precision": "fp32",
        "checkpoint_digest": DIGEST,
        "files": {},
        "tolerance": PARITY_TOLERANCE,
        "parity": (ParityEntry(batch_size=1, worst_output="y", max_relative_error=0.0),),
        "created": datetime.date(2026, 1, 1),
        **fields,
    }
    return Passport.model_validate(values)


def whole(spec: HeadSpec, **fields: object) -> model_config_pb2.ModelConfig:
    """Configuration of a head in one piece; ``fields`` of its passport."""
    return parse_config(model_config(spec, passport(spec.name, **fields)), spec.name)


def part(name: str, digest: str = DIGEST) -> model_config_pb2.ModelConfig:
    """Configuration of a part: x -> y."""
    tensor = {"name": "x", "dims": [1]}
    config = model_config_pb2.ModelConfig(
        name=name, input=[tensor], output=[{**tensor, "name": "y"}]
    )
    set_passport(config, passport(name, content_digest=digest))
    return config


def ensemble(spec: HeadSpec, *parts: str, version: int = 1) -> model_config_pb2.ModelConfig:
    """Configuration of a head put together from parts that run one after the other."""
    config = whole(spec, parts=dict.fromkeys(parts, DIGEST))
    config.platform = "ensemble"
    names = ["letters", *parts[:-1], "embedding"]
    for number, name in enumerate(parts):
        step = config.ensemble_scheduling.step.add(model_name=name, model_version=version)
        step.input_map["x"] = names[number]
        step.output_map["y"] = names[number + 1]
    return config


@dataclass(frozen=True)
class Call:
    """What the server was told with one inference."""

    model: str
    version: str
    request_id: str
    timeout_us: int
    seconds_left: float
    metadata: dict[str, str]


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # untyped
    """Answers every row with (its value, 1), or part ``x`` with ten times that.

    Attributes:
        models: A mapping of (name, version) to the configurations of models that are ready.
        states: A mapping of (name, version) to (state, reason) of those that are not.
        failures: The failures that the next inferences are answered with, one after the other.
        always: The failure that every inference is answered with; None if there is none.
        delay_seconds: The time that an inference takes.
        calls: The inferences so far.
        host: The address of loopback.
        credentials: The credentials of TLS; without them there is none.
        loadable: The models that its repository has beside those that are ready.
        loads: The models that it was asked to load.
        after_index: The changes that come right after the next answers of its repository index.
    """

    def __init__(self, *configs: model_config_pb2.ModelConfig) -> None:
        self.models = {(config.name, "1"): config for config in configs}
        self.states: dict[tuple[str, str], tuple[str, str]] = {}
        self.failures: list[tuple[grpc.StatusCode, str]] = []
        self.always: tuple[grpc.StatusCode, str] | None = None
        self.delay_seconds = 0.0
        self.calls: list[Call] = []
        self.configs_read = 0
        self.answers_as = ""
        self.port = 0
        self.host = "127.0.0.1"
        self.credentials: grpc.ServerCredentials | None = None
        self.loadable: dict[str, model_config_pb2.ModelConfig] = {}
        self.loads: list[str] = []
        self.after_index: list[Callable[[], None]] = []
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    async def start(self) -> None:
        """Listen; on the same port as before, if it did."""
        self._server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        if self.credentials is None:
            self.port = self._server.add_insecure_port(self.address)
        else:
            self.port = self._server.add_secure_port(self.address, self.credentials)
        await self._server.start()

    async def stop(self) -> None:
        """Break off whatever runs."""
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:
        entry = service_pb2.RepositoryIndexResponse.ModelIndex
        ready = [entry(name=n, version=v, state="READY") for n, v in self.models]
        others = [
            entry(name=n, version=v, state=state, reason=reason)
            for (n, v), (state, reason) in self.states.items()
        ]
        idle = [entry(name=name) for name in self.loadable]
        if self.after_index:
            self.after_index.pop(0)()
        return service_pb2.RepositoryIndexResponse(models=ready + others + idle)

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        self.loads.append(request.model_name)
        if (config := self.loadable.pop(request.model_name, None)) is None:
            await context.abort(Code.INVALID_ARGUMENT, f"failed to load '{request.model_name}'")
        assert config is not None
        self.models[config.name, "1"] = config
        return service_pb2.RepositoryModelLoadResponse()

    async def ModelConfig(self, request: Any, context: Any) -> Any:
        self.configs_read += 1
        key = (request.name, request.version)
        if key not in self.models:
            await context.abort(Code.NOT_FOUND, _unknown(*key))
        return service_pb2.ModelConfigResponse(config=self.models[key])

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        self.calls.append(
            Call(
                request.model_name,
                request.model_version,
                request.id,
                request.parameters["timeout"].int64_param,
                context.time_remaining(),
                dict(context.invocation_metadata()),
            )
        )
        await asyncio.sleep(self.delay_seconds)
        if failure := self.failures.pop(0) if self.failures else self.always:
            await context.abort(*failure)
        key = (request.model_name, request.model_version)
        if key not in self.models:
            await context.abort(Code.NOT_FOUND, _unknown(*key))
        return self._answer(request)

    def _answer(self, request: Any) -> Any:
        (tensor,), (raw,) = request.inputs, request.raw_input_contents
        values = np.frombuffer(raw, np.float32).reshape(tensor.shape)
        if tensor.name == "x":
            array = values * 10
        else:
            array = np.hstack([values, np.ones_like(values)]).astype(np.float32)
        response = service_pb2.ModelInferResponse(
            model_name=request.model_name, model_version=self.answers_as or request.model_version
        )
        for output in request.outputs:
            response.outputs.add(name=output.name, datatype="FP32", shape=array.shape)
            response.raw_output_contents.append(array.tobytes())
        return response


def _unknown(name: str, version: str) -> str:
    return f"Request for unknown model: '{name}' version {version} is not found"


@asynccontextmanager
async def fake_triton(
    *configs: model_config_pb2.ModelConfig,
    host: str = "127.0.0.1",
    port: int = 0,
    credentials: grpc.ServerCredentials | None = None,
) -> AsyncIterator[FakeTriton]:
    """Serve models until the block ends."""
    server = FakeTriton(*configs)
    server.host, server.port, server.credentials = host, port, credentials
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


EMBEDDING = letters_spec(checkpoint_digest=DIGEST)
# Of the same pre-processing: one input, two tasks.
TONE = letters_spec(
    checkpoint_digest=DIGEST,
    task="tone",
    outputs=(TensorSpec(name="embedding", dtype="float32", shape=(1,)),),
)
