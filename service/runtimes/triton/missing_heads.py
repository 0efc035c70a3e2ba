"""Loading of heads into servers that lack what others of their name serve.

The heads that are wanted are those of the model repository: a server loads them when it starts,
and ``omnivec2 head add`` loads a new one into all servers that it finds. One that starts while a
head is added may still come without it. The other servers of its name show which heads those are,
and its repository index shows whether it could load them. A request for a head goes only to servers
that report it as ready, so none waits for this.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from service.runtimes.base import Model
from service.runtimes.triton.endpoint import Endpoint
from service.runtimes.triton.model_metadata import is_same_model
from service.runtimes.triton.server_set import ServerSet
from service.runtimes.triton.triton_errors import TritonError

_LOG = logging.getLogger(__name__)

_RETRY_SECONDS = 60.0
"""The time until a load that did not help is tried again."""


class MissingHeadsLoader:
    """Loads into each server the heads that the other servers of its name have.

    Heads that somebody has unloaded stay unloaded. A head must be missing in two polls one after
    the other, so that ``omnivec2 head add``, which loads it into one server after the other, is not
    interfered with.

    Args:
        servers: The servers.
        serves: A callback that tells whether the gateway serves a head of some name.
    """

    def __init__(self, servers: ServerSet, serves: Callable[[str], bool]) -> None:
        self._servers = servers
        self._serves = serves
        self._seen: dict[Endpoint, frozenset[tuple[str, str]]] = {}
        self._tried: dict[Endpoint, float] = {}
        self._loading: dict[Endpoint, asyncio.Task[None]] = {}

    def load_missing(self) -> None:
        """Start to load what servers lack; called after every poll of all servers."""
        now = time.monotonic()
        before, self._seen = self._seen, {}
        present = set(self._servers.endpoints)
        self._tried = {e: at for e, at in self._tried.items() if e in present and e.is_up}
        for endpoint in self._servers.endpoints:
            missing = self._missing_from(endpoint) if endpoint.is_up else []
            if not missing or endpoint in self._loading:
                continue
            seen = self._seen[endpoint] = frozenset((m.name, m.version) for m in missing)
            if before.get(endpoint) != seen or now - self._tried.get(endpoint, now - 3600) < (
                _RETRY_SECONDS
            ):
                continue
            self._tried[endpoint] = now
            task = asyncio.create_task(self._load(endpoint, missing))
            self._loading[endpoint] = task
            task.add_done_callback(lambda _, e=endpoint: self._loading.pop(e, None))  # type: ignore[misc]

    async def close(self) -> None:
        """Stop loading."""
        tasks = list(self._loading.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _missing_from(self, endpoint: Endpoint) -> list[Model]:
        """Return the heads of a server's peers that it could load, in their newest versions."""
        newest: dict[str, Model] = {}
        for model in (m for peer in self._servers.peers_of(endpoint) for m in peer.models.values()):
            known = newest.get(model.name)
            if self._serves(model.name) and (
                known is None or int(model.version) > int(known.version)
            ):
                newest[model.name] = model
        missing = []
        for model in newest.values():
            own = endpoint.models.get(model.name)
            if own is None:
                could_load = model.name in endpoint.unloaded
            else:
                could_load = int(own.version) < int(model.version) and not is_same_model(own, model)
            if could_load:
                missing.append(model)
        return missing

    async def _load(self, endpoint: Endpoint, models: list[Model]) -> None:
        """Load heads, each after the parts that it needs."""
        names = ", ".join(sorted(model.name for model in models))
        _LOG.info("Triton at %s lacks %s: they are loaded into it", endpoint.address, names)
        for model in models:
            needed = [(step.model, step.version) for step in model.steps]
            if (generation := model.spec.generation) is not None:
                needed.append((generation.decoder, generation.version))
            parts = [name for name, version in needed if not endpoint.has_part(name, version)]
            try:
                for name in dict.fromkeys((*parts, model.name)):
                    await endpoint.load(name)
            except TritonError as error:
                _LOG.warning(
                    "Triton at %s did not load %s, which others have: %s",
                    *(endpoint.address, model.name, error),
                )
        await endpoint.poll()
