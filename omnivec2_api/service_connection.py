"""What both clients of a running service have in common: where it is, and how it is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import httpx2

from omnivec2_api.head_info import HeadInfo, make_head_info
from omnivec2_api.http_messages import RetryPolicy

DEFAULT_TIMEOUT_SECONDS = 60.0
DEFAULT_RETRIES = 5
DEFAULT_CONCURRENCY = 16

Sender = TypeVar("Sender", httpx2.Client, httpx2.AsyncClient)
Transport = TypeVar("Transport", httpx2.BaseTransport, httpx2.AsyncBaseTransport)


class ServiceConnection(ABC, Generic[Sender, Transport]):
    """A client of a running service. Close it, or use it in a ``with`` block.

    Requests that the service refuses for now (429, 503) or that find no connection are sent again,
    after the time that its ``Retry-After`` names. All others fail with the exception that the
    service raised: those of ``omnivec2.errors``, as in this process.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        retries: int = DEFAULT_RETRIES,
        concurrency: int = DEFAULT_CONCURRENCY,
        headers: Mapping[str, str] | None = None,
        transport: Transport | None = None,
    ) -> None:
        """Keep connections to a service for later requests.

        Args:
            url: The address of the service, such as ``http://127.0.0.1:8080``.
            api_key: The API key, if the service requires one.
            timeout: The longest time that an answer may take, in seconds.
            retries: The most times that a request is sent again.
            concurrency: The number of requests of a batch that are under way at the same time.
            headers: The further headers of every request.
            transport: A transport of httpx, such as one for tests.
        """
        self.url = url.rstrip("/")
        self._policy, self._concurrency = RetryPolicy(self.url, timeout, retries), concurrency
        self._client: Sender = self._open(
            base_url=f"{self.url}/",
            headers=_request_headers(api_key, headers),
            timeout=timeout,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=concurrency),
            transport=transport,
        )
        self._heads: Mapping[str, HeadInfo] = {}

    @abstractmethod
    def _open(self, **options: Any) -> Sender:
        """Return the client of httpx with these options."""

    def _keep_heads(self, listed: Mapping[str, Any]) -> Mapping[str, HeadInfo]:
        """Keep and return the heads in the answer to ``GET /models``, by their names."""
        heads = [make_head_info(description) for description in listed["models"]]
        self._heads = {head.route: head for head in heads}
        return self._heads

    def _knows(self, modality: str, tasks: Sequence[str]) -> bool:
        """Whether the kept heads include those of all tasks, so that their answers have a class."""
        return all(f"{modality}/{task}" in self._heads for task in tasks)


def _request_headers(api_key: str | None, headers: Mapping[str, str] | None) -> dict[str, str]:
    key = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return {"User-Agent": "omnivec2", **key, **(headers or {})}
