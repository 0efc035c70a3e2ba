"""One Triton server: polled for its models and health, and sent batches over gRPC."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from tritonclient.grpc.aio import InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array
from service.request_context import REQUEST, trace_call
from service.runtimes.base import Model
from service.runtimes.triton.channels import open_client
from service.runtimes.triton.model_index import ModelIndex
from service.runtimes.triton.model_metadata import ModelDescription, describe, is_same_model
from service.runtimes.triton.server_names import ServerName, join_address
from service.runtimes.triton.triton_errors import FailureCause, TritonError

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

_POLL_TIMEOUT_SECONDS = 2.0
"""A server that takes longer to list its models counts as down."""

_LOAD_TIMEOUT_SECONDS = 120.0
"""A model with its warm-up runs may take long to load."""

_REPORT_SECONDS = 1.0
"""The time for which a report of pending requests counts."""

_READS = 4
"""The number of times that a poll reads the models, if they are replaced while it does."""


class Endpoint:
    """A Triton server at one address, over one channel.

    Args:
        name: The name that resolves to the address.
        ip: The address.
        root_certificates: The file of certificates to trust; None for a connection without TLS.

    Attributes:
        name: The name that it was found by; servers of one name should have the same models.
        ip: The address, without the port.
        address: The server's ``host:port``.
        is_up: Whether it answered the last poll or request.
        models: The newest ready version of each head, by name; kept while the server is down.
        refused: The models there that are not served: name -> reason.
        in_flight: The number of this gateway's requests that the server is working on.
        unloaded: The models in its repository that it has not loaded, and nobody unloaded.
    """

    def __init__(self, name: ServerName, ip: str, root_certificates: Path | None = None) -> None:
        self.name = name
        self.ip = ip
        self.address = join_address(ip, name.port)
        self.is_up = False
        self.models: dict[str, Model] = {}
        self.refused: dict[str, str] = {}
        self.in_flight = 0
        self.unloaded: frozenset[str] = frozenset()
        self._client = open_client(name, self.address, root_certificates)
        self._polling = asyncio.Lock()
        self._idle = asyncio.Event()
        self._leaving = False
        self._pending_elsewhere = 0.0
        self._reported_at = -_REPORT_SECONDS
        self._ready: frozenset[tuple[str, str]] = frozenset()
        # The models that the server turned out not to have since the last poll.
        self._lost: dict[str, Model] = {}
        # (name, version) -> what its configuration says, or why it is refused.
        self._read: dict[tuple[str, str], ModelDescription | str] = {}
        self._read_again = True
        self._polls = 0

    @property
    def is_polled(self) -> bool:
        """Whether a poll is under way."""
        return self._polling.locked()

    @property
    def pending_elsewhere(self) -> float | None:
        """The requests of other gateways that wait there; None if no report is recent."""
        is_recent = time.monotonic() - self._reported_at < _REPORT_SECONDS
        return self._pending_elsewhere if is_recent else None

    def record_pending(self, pending: float) -> None:
        """Record how many requests, of all callers, the server reports to wait now."""
        self._pending_elsewhere = max(0.0, pending - self.in_flight)
        self._reported_at = time.monotonic()

    def has_model(self, model: Model) -> bool:
        """Whether the server is up and has exactly this model."""
        known, lost = self.models.get(model.name), self._lost.get(model.name)
        return self.is_up and known is model and lost is not model

    def lose_model(self, model: Model) -> None:
        """Record that the server does not have a model: until the next poll, none is known.

        The model stays among ``models``, because there may be a newer version of it already.
        """
        self._lost[model.name] = model

    def has_part(self, name: str, version: str) -> bool:
        """Whether a part is ready here; an empty version is any."""
        if version:
            return (name, version) in self._ready
        return any(ready == name for ready, _ in self._ready)

    def eject(self, error: TritonError) -> None:
        """Send the server no requests until a poll succeeds."""
        if self.is_up and not self._leaving:
            _LOG.warning("Triton at %s is ejected: %s", self.address, error)
        self.is_up = False
        # It may come back with other models under the same names and versions.
        self._read_again = True

    def share_model(self, model: Model) -> None:
        """Replace an equal model by ``model``, the object that all servers' endpoints share."""
        self.models[model.name] = model
        described = self._read.get((model.name, model.version))
        if isinstance(described, ModelDescription):
            self._read[model.name, model.version] = replace(described, model=model)

    async def poll(self) -> None:
        """Ask which models are ready, and read the new ones; see the attributes."""
        async with self._polling:
            try:
                await self._read_models()
            except TritonError as error:
                self.eject(error)
                return
            if not self.is_up:
                _LOG.info("Triton at %s answers: %d models", self.address, len(self.models))
            self.is_up = True

    async def infer(
        self,
        name: str,
        version: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        seconds: float,
    ) -> dict[str, Array]:
        """Run a batch.

        Args:
            name: The name of a model or a part.
            version: The version that must answer; empty leaves it to the server.
            inputs: The input tensors by name, shaped as the model's configuration says.
            outputs: The names of the output tensors to return.
            seconds: The time left.

        Raises:
            TritonError: The server did not answer, or another version did.
        """
        self.in_flight += 1
        try:
            with trace_call(name, self.address) as headers:
                result = await _translate_errors(
                    self._client.infer(
                        name,
                        [_tensor(*item) for item in inputs.items()],
                        model_version=version,
                        outputs=[InferRequestedOutput(output) for output in outputs],
                        request_id=REQUEST.get().request_id,
                        # Triton drops what has waited this long (in microseconds).
                        timeout=max(1, int(seconds * 1e6)),
                        priority=int(REQUEST.get().priority),
                        client_timeout=seconds,
                        headers=dict(headers) or None,
                    )
                )
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()
        answered = result.get_response().model_version
        if version and answered != version:
            raise TritonError(FailureCause.ABSENT, f"version {answered} answered, not {version}")
        arrays = {output: result.as_numpy(output) for output in outputs}
        if missing := [output for output, array in arrays.items() if array is None]:
            raise TritonError(FailureCause.FAILED, f"the answer lacks {', '.join(missing)}")
        return arrays

    async def load(self, name: str) -> None:
        """Load a model of the server's repository, or its newer version.

        Raises:
            TritonError: The server refuses, or does not answer.
        """
        await _translate_errors(self._client.load_model(name, client_timeout=_LOAD_TIMEOUT_SECONDS))

    async def leave(self) -> None:
        """Close the channel once the requests under way have ended; it gets no new ones."""
        self._leaving = True
        while self.in_flight:
            self._idle.clear()
            await self._idle.wait()
        async with self._polling:
            await self.close()

    async def close(self) -> None:
        """Close the channel; requests under way fail."""
        await self._client.close()

    async def _read_models(self) -> None:
        """Read the index and the configurations, again if models were replaced in between.

        Triton's configuration is that of a model's last load: read while a load ends, it would be
        taken for the version before it.
        """
        index = await self._index()
        for _ in range(_READS):
            try:
                read = await self._describe_all(index)
            except TritonError as error:
                if error.cause is not FailureCause.ABSENT:
                    raise
                read = None
            before, index = index, await self._index()
            if read is not None and index.ready == before.ready:
                self._update_models(index, read)
                return
        self._read_again = True
        _LOG.warning("Triton at %s replaces models all the time", self.address)

    async def _index(self) -> ModelIndex:
        answer = await _translate_errors(
            self._client.get_model_repository_index(client_timeout=_POLL_TIMEOUT_SECONDS)
        )
        return ModelIndex.from_entries(answer.models)

    async def _describe_all(
        self, index: ModelIndex
    ) -> dict[tuple[str, str], ModelDescription | str]:
        """Describe the newest versions; those that are known already are not read again."""
        keys = sorted(index.newest.items())
        # Files may change without a new version, so every poll reads one of the models again.
        changed = self._read_again or index.ready != self._ready
        unread = keys if changed or not keys else [keys[self._polls % len(keys)]]
        self._polls += 1
        described = await asyncio.gather(*(self._describe(*key) for key in unread))
        found = dict(zip(unread, described, strict=True))
        return {key: found[key] if key in found else self._read[key] for key in keys}

    def _update_models(
        self, index: ModelIndex, read: dict[tuple[str, str], ModelDescription | str]
    ) -> None:
        self._read = read
        self._read_again = False
        self._ready = index.ready
        self._lost = {}
        self.unloaded = index.unloaded
        self.models = {}
        self.refused = dict(index.refused)
        for (name, _), described in self._read.items():
            if isinstance(described, str):
                self.refused[name] = described
            elif described.model is not None:
                self._add_model(described.model, described.parts)

    def _add_model(self, model: Model, parts: Mapping[str, str]) -> None:
        """Add a model unless a part is missing or is not the one it was exported with."""
        needed = [(step.model, step.version) for step in model.steps]
        if (generation := model.spec.generation) is not None:
            needed.append((generation.decoder, generation.version))
        for name, version in needed:
            part = self._read.get((name, version))
            if not self.has_part(name, version):
                why = f"{name} version {version} is not ready"
            elif isinstance(part, ModelDescription) and part.digest != parts.get(name):
                why = f"it was exported with another {name} than version {version}"
            else:
                continue
            self.refused[model.name] = f"{model.name}: {why}"
            return
        self.models[model.name] = model

    async def _describe(self, name: str, version: str) -> ModelDescription | str:
        answer = await _translate_errors(
            self._client.get_model_config(name, version, client_timeout=_POLL_TIMEOUT_SECONDS)
        )
        before = self._read.get((name, version))
        try:
            described = describe(answer.config, version)
        except ArtifactError as error:
            if before != str(error):
                _LOG.error("Triton at %s: %s is not served: %s", self.address, name, error)
            return str(error)
        if isinstance(before, ModelDescription) and is_same_model(before.model, described.model):
            # The same object, by which requests under way see that nothing has changed.
            return replace(described, model=before.model)
        return described


async def _translate_errors(call: Awaitable[T]) -> T:
    """Await a call of Triton's client.

    Raises:
        TritonError: The call failed; raised in place of the client's own exception.
    """
    try:
        return await call
    except InferenceServerException as error:
        raise TritonError.from_client_error(error) from error


def _tensor(name: str, array: Array) -> InferInput:
    tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(np.ascontiguousarray(array))
    return tensor
