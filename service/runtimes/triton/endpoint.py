"""One Triton server: what it has, whether it answers, and asking it over gRPC."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from tritonclient.grpc.aio import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array
from service.request_context import CURRENT, calling
from service.runtimes.base import Model
from service.runtimes.triton.model_metadata import ModelDescription, describe, is_same_model
from service.runtimes.triton.triton_errors import Cause, TritonError

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

_LOOK_SECONDS = 2.0
"""A server that needs longer to say what it has is taken for one that is gone."""

_CHANNEL = (
    # tritonclient drops all of its own defaults once any argument is given.
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.max_receive_message_length", 2**31 - 1),
    # Requests under way notice within seconds that the machine behind them is gone.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # gRPC's own pauses between attempts to connect grow to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
)

# Reasons in Triton's repository index of a model that nobody wants to be there.
_INTENDED = frozenset({"", "unloaded"})


class Endpoint:
    """A Triton server at one address, over one channel.

    Attributes:
        address: ``host:port``.
        up: whether it answered when it was last asked.
        why: what it said instead.
        models: name -> newest ready version of a modality-task; kept while it is down.
        refused: name -> why a model there is not served.
        busy: requests under way there.
        turn: when it was last chosen, as a number that grows.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.up = False
        self.why = "not asked yet"
        self.models: dict[str, Model] = {}
        self.refused: dict[str, str] = {}
        self.busy = 0
        self.turn = 0
        self._client = InferenceServerClient(address, channel_args=list(_CHANNEL))
        self._looking = asyncio.Lock()
        self._ready: frozenset[tuple[str, str]] = frozenset()
        # (name, version) -> what its configuration says, or why it is refused.
        self._read: dict[tuple[str, str], ModelDescription | str] = {}
        self._read_all = True
        self._looks = 0

    def has_part(self, name: str, version: str) -> bool:
        """Whether a part is ready here; an empty version is any."""
        if version:
            return (name, version) in self._ready
        return any(ready == name for ready, _ in self._ready)

    def fail(self, error: TritonError) -> None:
        """Leave the server out until a look at it succeeds."""
        if self.up:
            _LOG.warning("Triton at %s is left out: %s", self.address, error)
        self.up, self.why = False, str(error)
        # It may come back with other models under the same names and versions.
        self._read_all = True

    def adopt(self, model: Model) -> None:
        """Hold ``model``, which another server has as well, in place of an equal one."""
        self.models[model.name] = model
        described = self._read.get((model.name, model.version))
        if isinstance(described, ModelDescription):
            self._read[model.name, model.version] = replace(described, model=model)

    async def look(self) -> None:
        """Ask which models are ready, and what the new ones are; see the attributes."""
        async with self._looking:
            try:
                index = await _answer(
                    self._client.get_model_repository_index(client_timeout=_LOOK_SECONDS)
                )
                await self._take(index.models)
            except TritonError as error:
                self.fail(error)
                return
            if not self.up:
                _LOG.info("Triton at %s answers: %d models", self.address, len(self.models))
            self.up, self.why = True, ""

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
            name: of a model or a part.
            version: the one to ask; empty leaves it to the server.
            inputs: tensor name -> array, shaped as the model's configuration says.
            outputs: names of the tensors wanted.
            seconds: time left.

        Raises:
            TritonError: no answer, or that of another version.
        """
        self.busy += 1
        try:
            with calling(name, self.address) as headers:
                result = await _answer(
                    self._client.infer(
                        name,
                        [_tensor(*item) for item in inputs.items()],
                        model_version=version,
                        outputs=[InferRequestedOutput(output) for output in outputs],
                        request_id=CURRENT.get().request_id,
                        # Triton drops what has waited this long (in microseconds).
                        timeout=max(1, int(seconds * 1e6)),
                        client_timeout=seconds,
                        headers=dict(headers) or None,
                    )
                )
        finally:
            self.busy -= 1
        answered = result.get_response().model_version
        if version and answered != version:
            raise TritonError(Cause.ABSENT, f"version {answered} answered, not {version}")
        arrays = {output: result.as_numpy(output) for output in outputs}
        if missing := [output for output, array in arrays.items() if array is None]:
            raise TritonError(Cause.FAILED, f"the answer lacks {', '.join(missing)}")
        return arrays

    async def close(self) -> None:
        """Close the channel; what is under way fails."""
        await self._client.close()

    async def _take(self, index: Sequence[Any]) -> None:
        """Take up the models of a repository index (its entries are one per version)."""
        ready = frozenset((entry.name, entry.version) for entry in index if entry.state == "READY")
        newest: dict[str, str] = {}
        for name, version in ready:
            newest[name] = max(version, newest.get(name, "0"), key=int)
        keys = sorted(newest.items())
        # Files may be changed without a new version, so one in turn is always read again.
        changed = self._read_all or ready != self._ready
        unread = keys if changed or not keys else [keys[self._looks % len(keys)]]
        self._looks += 1
        found = dict(
            zip(unread, await asyncio.gather(*(self._describe(*k) for k in unread)), strict=True)
        )
        self._read = {key: found[key] if key in found else self._read[key] for key in keys}
        self._read_all = False
        self._ready = ready
        self.models = {}
        self.refused = {
            # A backend's traceback follows the first line.
            entry.name: f"{entry.name}: {entry.reason.strip().partition(chr(10))[0]}"
            for entry in index
            if entry.state == "UNAVAILABLE"
            and entry.reason not in _INTENDED
            and entry.name not in newest
        }
        for (name, _), described in self._read.items():
            if isinstance(described, str):
                self.refused[name] = described
            elif described.model is not None:
                self._add(described.model, described.parts)

    def _add(self, model: Model, parts: Mapping[str, str]) -> None:
        """Take up a model unless a part of it is missing or not the one it came with."""
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
        answer = await _answer(
            self._client.get_model_config(name, version, client_timeout=_LOOK_SECONDS)
        )
        before = self._read.get((name, version))
        try:
            described = describe(answer.config, version)
        except ArtifactError as error:
            if before != str(error):
                _LOG.error("Triton at %s: %s is not served: %s", self.address, name, error)
            return str(error)
        if isinstance(before, ModelDescription) and is_same_model(before.model, described.model):
            # The same object, so that requests under way can tell that nothing changed.
            return replace(described, model=before.model)
        return described


async def _answer(call: Awaitable[T]) -> T:
    """An answer of Triton's client.

    Raises:
        TritonError: instead of the client's own exception.
    """
    try:
        return await call
    except InferenceServerException as error:
        raise TritonError.of(error) from error


def _tensor(name: str, array: Array) -> InferInput:
    tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(np.ascontiguousarray(array))
    return tensor
