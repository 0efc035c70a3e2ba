"""The servers of a gateway: one for every address that one of its names resolves to now."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from service.runtimes.triton.endpoint import Endpoint
from service.runtimes.triton.server_names import Resolve, ServerName, parse_server_name
from service.settings import Settings

_LOG = logging.getLogger(__name__)

_LOOKUP_SECONDS = 1.0
"""The time that a refresh waits for a name; a lookup that takes longer goes on beside it."""

_HANDOVER_SECONDS = 30.0
"""The time that a server whose address is gone may still answer for heads that no other has."""


class ServerSet:
    """The servers behind some names, followed as the names change.

    A new address gets an endpoint with a channel of its own. One that is gone gets no more requests
    as soon as other servers of its name have its heads, and its channel is closed when the requests
    under way have ended. A name that does not resolve, or to nothing, keeps its servers: a name
    server that is down says nothing about them.

    Args:
        settings: The names, and how they are connected to.
        resolve: The resolver of names.

    Attributes:
        endpoints: The servers of now.
    """

    def __init__(self, settings: Settings, resolve: Resolve) -> None:
        self._names = [parse_server_name(text) for text in settings.triton_endpoints]
        self._root_certificates = settings.triton_root_certificates
        self._resolve = resolve
        self.endpoints: list[Endpoint] = []
        self._resolved: dict[ServerName, Sequence[str]] = {name: () for name in self._names}
        self._lookups: dict[ServerName, asyncio.Task[Sequence[str]]] = {}
        self._failures: dict[ServerName, str] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._left: list[Endpoint] = []
        self._gone_since: dict[Endpoint, float] = {}
        self._following = asyncio.Lock()

    async def follow_names(self) -> None:
        """Look all names up, poll the servers that are new, and drop those that are gone."""
        async with self._following:
            await asyncio.gather(*(self._look_up(name) for name in self._resolved))
            wanted = {(ip, name.port): name for name in self._names for ip in self._resolved[name]}
            known = {(endpoint.ip, endpoint.name.port) for endpoint in self.endpoints}
            added = [
                Endpoint(name, ip, self._root_certificates)
                for (ip, port), name in wanted.items()
                if (ip, port) not in known
            ]
            self.endpoints = [*self.endpoints, *added]
            await asyncio.gather(*(endpoint.poll() for endpoint in added))
            now = time.monotonic()
            self._gone_since = {
                endpoint: self._gone_since.get(endpoint, now)
                for endpoint in self.endpoints
                if (endpoint.ip, endpoint.name.port) not in wanted
            }
            for endpoint, since in self._gone_since.items():
                if self._is_replaced(endpoint, now - since):
                    self._drop(endpoint)

    def peers_of(self, endpoint: Endpoint) -> list[Endpoint]:
        """Return the other servers of the same name that are up."""
        return [
            other
            for other in self.endpoints
            if other is not endpoint and other.name == endpoint.name and other.is_up
        ]

    async def close(self) -> None:
        """Close all channels; requests under way fail."""
        tasks = [*self._lookups.values(), *self._leaving]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.gather(*(endpoint.close() for endpoint in [*self.endpoints, *self._left]))
        self.endpoints, self._left = [], []

    async def _look_up(self, name: ServerName) -> None:
        """Update the addresses of a name, or keep those that are known."""
        lookup = self._lookups.get(name)
        if lookup is None:
            lookup = asyncio.create_task(_awaited(self._resolve, name))
            self._lookups[name] = lookup
        await asyncio.wait((lookup,), timeout=_LOOKUP_SECONDS)
        if not lookup.done():
            self._report(name, f"the name server has not answered for {_LOOKUP_SECONDS:g} s")
            return
        del self._lookups[name]
        try:
            found = lookup.result()
        except (OSError, UnicodeError) as error:  # the latter where it can be no name of DNS
            self._report(name, str(error))
            return
        self._report(name, "" if found else "it has no address")
        if found:
            self._resolved[name] = tuple(found)

    def _report(self, name: ServerName, failure: str) -> None:
        """Log a failure, or its end, once."""
        if failure == self._failures.get(name, ""):
            return
        self._failures[name] = failure
        kept = len(self._resolved[name])
        if failure:
            _LOG.warning("%s does not resolve, its %d servers are kept: %s", name, kept, failure)
        else:
            _LOG.info("%s resolves again", name)

    def _is_replaced(self, endpoint: Endpoint, seconds: float) -> bool:
        """Whether others can take the place of a server whose address has been gone for a time."""
        peers = self.peers_of(endpoint)
        heads = {name for peer in peers for name in peer.models}
        missing = endpoint.models.keys() - heads
        return bool(peers) and (not missing or not endpoint.is_up or seconds > _HANDOVER_SECONDS)

    def _drop(self, endpoint: Endpoint) -> None:
        _LOG.info(
            "Triton at %s is dropped: %s has other addresses", endpoint.address, endpoint.name
        )
        self.endpoints = [other for other in self.endpoints if other is not endpoint]
        self._left.append(endpoint)
        leaving = asyncio.create_task(self._leave(endpoint))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _leave(self, endpoint: Endpoint) -> None:
        await endpoint.leave()
        self._left.remove(endpoint)


async def _awaited(resolve: Resolve, name: ServerName) -> Sequence[str]:
    return await resolve(name.host, name.port)
