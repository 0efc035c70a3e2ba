"""What servers report to wait in their queues, read from their ports for Prometheus."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Callable, Sequence

import httpx2

from service.runtimes.triton.endpoint import Endpoint
from service.runtimes.triton.server_names import join_address

_LOG = logging.getLogger(__name__)

_PAUSE_SECONDS = (0.4, 0.7)
"""The range of the pause between two reads: gateways must not read, and react, in step."""

_TIMEOUT_SECONDS = 1.0
_LONGEST_BYTES = 16 * 2**20

_PENDING = re.compile(rb"^nv_inference_pending_request_count\{[^}\n]*\} +(\S+)", re.MULTILINE)


def count_pending(metrics: bytes) -> float | None:
    """Return the requests that wait for execution, over all models; None if it is not reported."""
    values = [float(value) for value in _PENDING.findall(metrics)]
    return sum(values) if values else None


class PendingRequestsPoller:
    """Reads how many requests wait at each server, about twice a second.

    A server that does not answer here is balanced by this gateway's own requests.

    Args:
        port: The port of every server's metrics.
        endpoints: A callback that returns the servers of now.
    """

    def __init__(self, port: int, endpoints: Callable[[], Sequence[Endpoint]]) -> None:
        self._port = port
        self._endpoints = endpoints
        self._silent: set[str] = set()
        self._reading: set[Endpoint] = set()

    async def run(self) -> None:
        """Read until the task is cancelled."""
        # A proxy of the environment is for other hosts.
        async with (
            httpx2.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as client,
            asyncio.TaskGroup() as reads,
        ):
            while True:
                up = [endpoint for endpoint in self._endpoints() if endpoint.is_up]
                self._silent &= {self._url(endpoint) for endpoint in up}
                for endpoint in up:
                    # Each by itself: one that is slow must not make the figures of others old.
                    if endpoint not in self._reading:
                        self._reading.add(endpoint)
                        reads.create_task(self._read(client, endpoint))
                await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))

    async def _read(self, client: httpx2.AsyncClient, endpoint: Endpoint) -> None:
        """Read one server's metrics, and log the first time that this fails."""
        url = self._url(endpoint)
        try:
            pending = count_pending(await _get(client, url))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            pending, reason = None, str(error) or type(error).__name__
        else:
            reason = "it reports no nv_inference_pending_request_count"
        finally:
            self._reading.discard(endpoint)
        if pending is not None:
            self._silent.discard(url)
            endpoint.record_pending(pending)
        elif url not in self._silent:
            self._silent.add(url)
            _LOG.warning("%s is not read, so only own requests count there: %s", url, reason)

    def _url(self, endpoint: Endpoint) -> str:
        return f"http://{join_address(endpoint.ip, self._port)}/metrics"


async def _get(client: httpx2.AsyncClient, url: str) -> bytes:
    """Return the body of an answer.

    Raises:
        HTTPError: There is no answer, or it is not 200.
        ValueError: It is too long.
    """
    async with client.stream("GET", url) as response:
        response.raise_for_status()
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _LONGEST_BYTES:
                raise ValueError(f"the answer is longer than {_LONGEST_BYTES:,} bytes")
        return bytes(body)
