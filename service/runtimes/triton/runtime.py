"""Triton behind the gateway: gRPC with binary tensors, over one or several servers.

A gateway needs nothing but names: the models, with their head specs and passports, are in
Triton's own metadata, where the exporter put them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from omnivec2.canary.canary_state import base_name
from omnivec2.errors import DeadlineExceededError, ModelNotReadyError, StaleModelError
from omnivec2.preprocess import Array
from omnivec2.spec import model_name
from service.pipeline.concurrency import gather_or_cancel
from service.request_context import REQUEST, trace_stage
from service.runtimes.base import Health, Inference, Model, generation_of
from service.runtimes.batch_memory import MemoryGate, tokens_in_head
from service.runtimes.ensemble import run_steps
from service.runtimes.triton.endpoint import Endpoint
from service.runtimes.triton.missing_heads import MissingHeadsLoader
from service.runtimes.triton.model_choice import merge_models
from service.runtimes.triton.pending_requests import PendingRequestsPoller
from service.runtimes.triton.scalar_columns import as_column, without_columns
from service.runtimes.triton.server_choice import choose_server
from service.runtimes.triton.server_names import Resolve, resolve_host
from service.runtimes.triton.server_set import ServerSet
from service.runtimes.triton.triton_errors import (
    NEVER_BEGUN,
    FailureCause,
    TritonError,
    to_caller_error,
)
from service.settings import Settings

_LOG = logging.getLogger(__name__)

_EJECTED_POLL_SECONDS = 0.25
"""The time between two polls of an ejected server."""

_TRIES = 2
"""The number of servers that may begin to work on a request before it fails: one that brings down
servers must not bring down all."""

_BATCHES = 4
"""The largest batches, by memory, that may be under way for this gateway: a server has two
instances of each model, and merges what waits for them."""


class TritonRuntime:
    """Serves the models of Triton servers, each of which may hold all or some of them.

    A request goes to the less busy one of two random servers that have the model. A server that
    fails is ejected until a poll succeeds; its requests are retried on another server.

    Args:
        settings: The names of servers, the longest time of a request, and the models to serve.
        resolve: The resolver of names.
    """

    def __init__(self, settings: Settings, resolve: Resolve = resolve_host) -> None:
        self._settings = settings
        self._wanted = {model_name(route) for route in settings.only}
        self._servers = ServerSet(settings, resolve)
        self._loader = MissingHeadsLoader(self._servers, self._serves)
        self._models: dict[str, Model] = {}
        self._reported: Mapping[str, Model] = self._models
        self._memory = MemoryGate(_BATCHES * settings.max_batch_token_pairs)
        self._tasks: list[asyncio.Task[None]] = []
        self._some_ejected = asyncio.Event()

    @property
    def endpoints_up(self) -> int:
        """The number of servers that are not ejected."""
        return sum(endpoint.is_up for endpoint in self._endpoints)

    @property
    def _endpoints(self) -> list[Endpoint]:
        return self._servers.endpoints

    async def start(self) -> None:
        """Find the servers and poll them; may be called again after it failed.

        Raises:
            ModelNotReadyError: No server answers, or none has a model of this project.
        """
        await self.refresh()
        if not self._tasks:
            self._tasks.append(asyncio.create_task(self._poll_ejected()))
            if port := self._settings.triton_metrics_port:
                poller = PendingRequestsPoller(port, lambda: self._endpoints)
                self._tasks.append(asyncio.create_task(poller.run()))
        if not self._models:
            raise ModelNotReadyError(self._no_models_reason())
        _LOG.info("%d models at %d Triton servers", len(self._models), self.endpoints_up)

    def models(self) -> Mapping[str, Model]:
        """Return the models by name; those of an ejected server stay known."""
        return self._models

    async def refresh(self) -> bool:
        """Look for servers that are new or gone, and poll the others.

        Returns:
            Whether ``models`` has changed since the last refresh.
        """
        # Ejected servers have polls of their own: one that hangs must not hold up the others.
        up = [endpoint for endpoint in self._endpoints if endpoint.is_up]
        await asyncio.gather(self._servers.follow_names(), *(endpoint.poll() for endpoint in up))
        self._merge_models()
        if self._settings.triton_load_heads:
            self._loader.load_missing()
        if self.endpoints_up < len(self._endpoints):
            self._some_ejected.set()
        before, self._reported = self._reported, self._models
        return self._reported is not before

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        """Run a batch; see ``Runtime.infer``. Triton does not report its queue time."""
        columns = {
            tensor.name: as_column(tensor, inputs[tensor.name]) for tensor in model.spec.inputs
        }
        async with self._memory.hold(_token_pairs([model], inputs)):
            answer = await self._send(
                [model],
                model.name,
                model.version,
                columns,
                model.output_names,
                lambda: self._endpoints_of([model]),
            )
        return without_columns(model, answer)

    async def infer_all(
        self, models: Sequence[Model], inputs: Mapping[str, Array]
    ) -> list[Inference]:
        """Run a batch through several models; see ``Runtime.infer_all``.

        The steps of models run from here, because each of Triton's own ensembles would run all
        of its steps; whole models run at the same time.
        """
        together = bool(self._endpoints_of(models)) and all(model.steps for model in models)
        if not together:
            return await gather_or_cancel([self.infer(model, inputs) for model in models])
        wanted: dict[tuple[str, str], set[str]] = {}
        for step in (step for model in models for step in model.steps):
            wanted.setdefault((step.model, step.version), set()).update(step.outputs)

        async def run_part(part: str, version: str, given: Mapping[str, Array]) -> Inference:
            def endpoints() -> list[Endpoint]:
                return [e for e in self._endpoints_of(models) if e.has_part(part, version)]

            outputs = sorted(wanted[part, version])
            return await self._send(models, part, version, given, outputs, endpoints)

        specs = {tensor.name: tensor for model in models for tensor in model.spec.inputs}
        columns = {name: as_column(tensor, inputs[name]) for name, tensor in specs.items()}
        async with self._memory.hold(_token_pairs(models, inputs)):
            answers = await run_steps(models, columns, run_part)
        return [without_columns(*pair) for pair in zip(models, answers, strict=True)]

    async def decode(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        """Run one step of a decoder; see ``Runtime.decode``."""
        generation = generation_of(model)
        name, version = generation.decoder, generation.version

        def endpoints() -> list[Endpoint]:
            return [e for e in self._endpoints_of([model]) if e.has_part(name, version)]

        outputs = [tensor.name for tensor in generation.outputs]
        return await self._send([model], name, version, inputs, outputs, endpoints)

    async def health(self) -> Health:
        """Return the health: ready while every required model is reachable, or any if none is."""
        refused = {name: why for e in self._endpoints for name, why in e.refused.items()}
        refused = {name: why for name, why in refused.items() if name not in self._models}
        present = {name for name, model in self._models.items() if self._endpoints_of([model])}
        required = {model_name(route) for route in self._settings.required}
        if missing := required - present:
            detail = f"required models are not loaded: {', '.join(sorted(missing))}"
            return Health(False, detail, refused)
        if not present:
            return Health(False, self._no_models_reason(), refused)
        return Health(True, "", refused)

    async def close(self) -> None:
        """Close the channels; requests under way fail."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._loader.close()
        await self._servers.close()
        self._models = {}

    async def _send(
        self,
        models: Sequence[Model],
        name: str,
        version: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        endpoints: Callable[[], list[Endpoint]],
    ) -> Inference:
        """Send a batch to a server, and retry it on another if that may help.

        Args:
            models: The models that the batch is for.
            name: The name of the model, or of the part of ``models``, that runs it.
            version: The version of that model or part.
            inputs: The input tensors by name.
            outputs: The names of the output tensors to return.
            endpoints: A callback that returns the servers that have it now.
        """
        started = time.perf_counter()
        tried: list[Endpoint] = []
        failure: TritonError | None = None
        tries = 0
        while tries < _TRIES and (untried := [e for e in endpoints() if e not in tried]):
            endpoint = choose_server(untried, self._endpoints)
            tried.append(endpoint)
            seconds = min(REQUEST.get().seconds_left, self._settings.request_timeout_seconds)
            if seconds <= 0:
                raise DeadlineExceededError(f"no time is left to run {name}")
            try:
                with trace_stage("compute", name):
                    answer = await endpoint.infer(name, version, inputs, outputs, seconds)
                return Inference(answer, 0.0, time.perf_counter() - started)
            except TritonError as error:
                failure = error
            tries += failure.cause not in NEVER_BEGUN
            if failure.cause in (FailureCause.DOWN, FailureCause.UNREACHABLE):
                endpoint.eject(failure)
                self._merge_models()
                self._some_ejected.set()
            elif failure.cause is FailureCause.ABSENT:
                for model in models:
                    endpoint.lose_model(model)
            if not failure.retryable:
                break
        # A server that answers but lost the model a moment ago may have a newer version of it.
        lost = failure is None and self.endpoints_up > 0
        if lost or any(self._models.get(model.name) is not model for model in models):
            raise StaleModelError(f"{name} has been replaced, or is not loaded any more")
        raise to_caller_error(
            name, failure or TritonError(FailureCause.DOWN, "every server is ejected")
        )

    def _endpoints_of(self, models: Sequence[Model]) -> list[Endpoint]:
        """Return the servers that are up and have exactly these models."""
        return [
            endpoint
            for endpoint in self._endpoints
            if all(endpoint.has_model(model) for model in models)
        ]

    def _merge_models(self) -> None:
        """Serve of each model the newest version that any server has; see ``merge_models``."""
        merged = merge_models(self._endpoints, self._models, self._serves)
        changed = {
            name
            for name in merged.keys() | self._models.keys()
            if merged.get(name) is not self._models.get(name)
        }
        if changed:
            _LOG.info("models were added, changed or removed: %s", ", ".join(sorted(changed)))
            self._models = merged

    def _serves(self, name: str) -> bool:
        return not self._wanted or base_name(name) in self._wanted

    def _no_models_reason(self) -> str:
        """Return the reason why no model can be served."""
        if not self.endpoints_up:
            return "no Triton server can be reached"
        return "Triton has no model of this project that is ready"

    async def _poll_ejected(self) -> None:
        """Poll ejected servers until they answer, each by itself: some may hang."""
        async with asyncio.TaskGroup() as polls:
            while True:
                ejected = [endpoint for endpoint in self._endpoints if not endpoint.is_up]
                if not ejected:
                    self._some_ejected.clear()
                    await self._some_ejected.wait()
                    continue
                for endpoint in ejected:
                    if not endpoint.is_polled:
                        polls.create_task(self._poll(endpoint))
                await asyncio.sleep(_EJECTED_POLL_SECONDS)

    async def _poll(self, endpoint: Endpoint) -> None:
        """Poll an ejected server, and serve what it has."""
        try:
            await endpoint.poll()
            if endpoint.is_up:
                self._merge_models()
        except Exception:
            # Whatever a server answers, no defect here may end the polls of all.
            _LOG.exception("Triton at %s cannot be polled", endpoint.address)


def _token_pairs(models: Sequence[Model], inputs: Mapping[str, Array]) -> int:
    """Return the pairs of tokens that the longest of some models compares in a batch."""
    rows = len(next(iter(inputs.values())))
    return rows * max(tokens_in_head(model.spec, inputs) for model in models) ** 2
