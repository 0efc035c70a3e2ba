"""Triton behind the gateway: gRPC with binary tensors, over one or several servers.

A gateway needs nothing but addresses: which models there are, and what each of them does,
is in Triton's own metadata, where the exporter put head specs and passports.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from omnivec2.errors import DeadlineExceededError, ModelNotReadyError, StaleModelError
from omnivec2.preprocess import Array
from omnivec2.spec import TensorSpec, model_name
from service.pipeline.concurrency import all_of
from service.request_context import CURRENT, working
from service.runtimes.base import Health, Inference, Model, generation_of
from service.runtimes.ensemble import walk
from service.runtimes.triton.endpoint import Endpoint
from service.runtimes.triton.model_metadata import is_same_model
from service.runtimes.triton.triton_errors import Cause, TritonError, for_caller
from service.settings import Settings

_LOG = logging.getLogger(__name__)

_RECOVERY_SECONDS = 0.25
"""How often a server that is left out is looked at."""

_TRIES = 2
"""Servers that are asked before a request is given up."""


class TritonRuntime:
    """Serves the models of Triton servers, each of which may hold all or some of them.

    A request goes to the least busy of the servers that have the model. One that fails is
    left out until a look at it succeeds; its requests are tried once on another.

    Args:
        settings: addresses, the longest time of a request, and which models to serve.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._wanted = {model_name(route) for route in settings.only}
        self._endpoints: list[Endpoint] = []
        self._models: dict[str, Model] = {}
        self._told: Mapping[str, Model] = self._models
        self._turns = 0
        self._recovering: asyncio.Task[None] | None = None
        self._down = asyncio.Event()

    @property
    def endpoints_up(self) -> int:
        """Servers that are not left out."""
        return sum(endpoint.up for endpoint in self._endpoints)

    async def start(self) -> None:
        """Look at the servers; may be called again after it failed.

        Raises:
            ModelNotReadyError: none of them answers, or none has a model of ours.
        """
        if not self._endpoints:
            self._endpoints = [Endpoint(address) for address in self._settings.triton_endpoints]
        await self.refresh()
        self._recovering = self._recovering or asyncio.create_task(self._recover())
        if not self._models:
            raise ModelNotReadyError(self._nothing())
        _LOG.info("%d models at %d Triton servers", len(self._models), self.endpoints_up)

    def models(self) -> Mapping[str, Model]:
        """Name -> model; those of a server that is left out stay known."""
        return self._models

    async def refresh(self) -> bool:
        """Look at all servers; whether ``models`` is another than after the last refresh."""
        await asyncio.gather(*(endpoint.look() for endpoint in self._endpoints))
        self._merge()
        if self.endpoints_up < len(self._endpoints):
            self._down.set()
        before, self._told = self._told, self._models
        return self._told is not before

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        """Run a batch; see ``Runtime.infer``. Triton does not tell how long it queued."""
        # Triton has no scalar per row: its configuration declares such a tensor as [1].
        columns = {
            tensor.name: _as_column(tensor, inputs[tensor.name]) for tensor in model.spec.inputs
        }
        outputs = [tensor.name for tensor in model.spec.outputs]
        answer = await self._ask(
            [model], model.name, model.version, columns, outputs, lambda: self._homes([model])
        )
        return _without_columns(model, answer)

    async def infer_all(
        self, models: Sequence[Model], inputs: Mapping[str, Array]
    ) -> list[Inference]:
        """Run a batch through several models; see ``Runtime.infer_all``.

        Models of steps are walked here, because an ensemble of Triton's runs all of its own
        steps; whole models are asked at the same time.
        """
        together = bool(self._homes(models)) and all(model.steps for model in models)
        if not together:
            return await all_of([self.infer(model, inputs) for model in models])
        wanted: dict[tuple[str, str], set[str]] = {}
        for step in (step for model in models for step in model.steps):
            wanted.setdefault((step.model, step.version), set()).update(step.outputs)

        async def run(part: str, version: str, given: Mapping[str, Array]) -> Inference:
            def homes() -> list[Endpoint]:
                return [e for e in self._homes(models) if e.has_part(part, version)]

            outputs = sorted(wanted[part, version])
            return await self._ask(models, part, version, given, outputs, homes)

        specs = {tensor.name: tensor for model in models for tensor in model.spec.inputs}
        columns = {name: _as_column(tensor, inputs[name]) for name, tensor in specs.items()}
        answers = await walk(models, columns, run)
        return [_without_columns(*pair) for pair in zip(models, answers, strict=True)]

    async def decode(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        """Run a step of a decoder; see ``Runtime.decode``."""
        generation = generation_of(model)
        name, version = generation.decoder, generation.version

        def homes() -> list[Endpoint]:
            return [e for e in self._homes([model]) if e.has_part(name, version)]

        outputs = [tensor.name for tensor in generation.outputs]
        return await self._ask([model], name, version, inputs, outputs, homes)

    async def health(self) -> Health:
        """Ready while every required model can be asked (any one if none is required)."""
        refused = {name: why for e in self._endpoints for name, why in e.refused.items()}
        refused = {name: why for name, why in refused.items() if name not in self._models}
        present = {name for name, model in self._models.items() if self._homes([model])}
        required = {model_name(route) for route in self._settings.required}
        if missing := required - present:
            detail = f"required models are not loaded: {', '.join(sorted(missing))}"
            return Health(False, detail, refused)
        if not present:
            return Health(False, self._nothing(), refused)
        return Health(True, "", refused)

    async def close(self) -> None:
        """Close the channels; what is under way fails."""
        if self._recovering is not None:
            self._recovering.cancel()
            await asyncio.wait((self._recovering,))
        await asyncio.gather(*(endpoint.close() for endpoint in self._endpoints))
        self._endpoints = []
        self._models = {}

    async def _ask(
        self,
        models: Sequence[Model],
        name: str,
        version: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        homes: Callable[[], list[Endpoint]],
    ) -> Inference:
        """Ask the least busy server for a model or a part of ``models``, or then another."""
        started = time.perf_counter()
        tried: list[Endpoint] = []
        failure: TritonError | None = None
        while len(tried) < _TRIES and (left := [e for e in homes() if e not in tried]):
            endpoint = self._choose(left)
            tried.append(endpoint)
            seconds = min(CURRENT.get().seconds_left, self._settings.request_timeout_seconds)
            if seconds <= 0:
                raise DeadlineExceededError(f"no time is left to ask {name}")
            try:
                with working("compute", name):
                    answer = await endpoint.infer(name, version, inputs, outputs, seconds)
                return Inference(answer, 0.0, time.perf_counter() - started)
            except TritonError as error:
                failure = error
            if failure.cause is Cause.DOWN:
                endpoint.fail(failure)
                self._merge()
                self._down.set()
            elif failure.cause is Cause.ABSENT:
                # Until the next look tells what is there instead.
                for model in models:
                    endpoint.models.pop(model.name, None)
            if not failure.elsewhere:
                break
        # A server that answers but lost the model a moment ago may have a newer version of it.
        lost = failure is None and self.endpoints_up > 0
        if lost or any(self._models.get(model.name) is not model for model in models):
            raise StaleModelError(f"{name} has been replaced, or is not loaded any more")
        raise for_caller(name, failure or TritonError(Cause.DOWN, "every server is left out"))

    def _homes(self, models: Sequence[Model]) -> list[Endpoint]:
        """The servers that are not left out and have all of these very models."""
        return [
            endpoint
            for endpoint in self._endpoints
            if endpoint.up and all(endpoint.models.get(m.name) is m for m in models)
        ]

    def _choose(self, endpoints: Sequence[Endpoint]) -> Endpoint:
        """The least busy one; among equals the one whose turn is longest ago."""
        chosen = min(endpoints, key=lambda endpoint: (endpoint.busy, endpoint.turn))
        self._turns += 1
        chosen.turn = self._turns
        return chosen

    def _merge(self) -> None:
        """Decide what is served: of each model the newest version that some server has.

        Versions of servers that are left out count only where no other has the model. Of
        different models under one version, the one that is served already stays.
        """
        merged: dict[str, Model] = {}
        offers = [(e, m) for e in self._endpoints for n, m in e.models.items() if self._serves(n)]
        rank: dict[str, tuple[bool, int, bool]] = {}
        for endpoint, model in offers:
            served = is_same_model(model, self._models.get(model.name))
            this = (endpoint.up, int(model.version), served)
            if model.name not in rank or this > rank[model.name]:
                rank[model.name] = this
                merged[model.name] = self._models[model.name] if served else model
        for endpoint, model in offers:
            if is_same_model(model, merged[model.name]):
                endpoint.adopt(merged[model.name])
        changed = {
            name
            for name in merged.keys() | self._models.keys()
            if merged.get(name) is not self._models.get(name)
        }
        if changed:
            _LOG.info("models came, changed or went: %s", ", ".join(sorted(changed)))
            self._models = merged

    def _serves(self, name: str) -> bool:
        return not self._wanted or name in self._wanted

    def _nothing(self) -> str:
        """Why no model can be asked."""
        if not self.endpoints_up:
            return "no Triton server can be reached"
        return "Triton has no model of ours that is ready"

    async def _recover(self) -> None:
        """Look at the servers that are left out, until they answer."""
        while True:
            left_out = [endpoint for endpoint in self._endpoints if not endpoint.up]
            if not left_out:
                self._down.clear()
                await self._down.wait()
                continue
            await asyncio.gather(*(endpoint.look() for endpoint in left_out))
            self._merge()
            await asyncio.sleep(_RECOVERY_SECONDS)


def _as_column(tensor: TensorSpec, array: Array) -> Array:
    # TensorRT has no 16-bit integers: a plan's head spec says int32 where pixels are uint16.
    typed = array.astype(tensor.dtype, copy=False)
    return typed if tensor.shape else typed.reshape(-1, 1)


def _without_columns(model: Model, answer: Inference) -> Inference:
    scalars = {tensor.name for tensor in model.spec.outputs if not tensor.shape}
    if not scalars:
        return answer
    outputs = {
        name: array.reshape(-1) if name in scalars else array
        for name, array in answer.outputs.items()
    }
    return Inference(outputs, answer.queue_seconds, answer.compute_seconds)
