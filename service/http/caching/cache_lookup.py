"""One request and the cache: read it before it is admitted, look its answer up, keep the answer.

::

    small body ─ read ─► look up ─► hit: answered, whatever is queued, at no cost
                            └─────► miss ─► admitted ─► computed ─► kept
    large body ─► admitted ─ read ─► look up ─► ...
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.requests import Request

from omnivec2.spec import HeadSpec
from service.admission.admission_control import AdmissionControl
from service.admission.arriving_bodies import ArrivingBody
from service.admission.ticket import Ticket
from service.http.body import Body, declared_length
from service.http.caching.cache_control import cache_status, parse_cache_control
from service.http.http_exchange import CACHE_STATUS_HEADER, HttpExchange
from service.http.raw_headers import header_text
from service.pipeline.host_stages import RawInput
from service.request_context import REQUEST
from service.response_cache.response_cache import ResponseCache

T = TypeVar("T")

_EARLY_BYTES = 64 * 2**10
"""The largest body that is read before its request is admitted."""


class CacheLookup:
    """The lookups of one request.

    Args:
        cache: The cache.
        request: The request; nothing of its body has been read.
        exchange: The exchange of the request.

    Attributes:
        cache: The cache.
        control: The directives of the request.
    """

    def __init__(self, cache: ResponseCache, request: Request, exchange: HttpExchange) -> None:
        self.cache = cache
        self.control = parse_cache_control(header_text(request.scope, b"cache-control"))
        self._request = request
        self._exchange = exchange
        self._early: _EarlyBytes | None = None
        self._lookups = self._hits = 0
        self._kept = False

    @property
    def scope(self) -> str:
        """The callers that share answers with this one: those of one key, or all."""
        key = REQUEST.get().key
        return "" if key is None or self.cache.across_keys else key.sha256

    async def read_early(
        self, read: Callable[[Headers, Body], Coroutine[Any, Any, T]], priority: str | None
    ) -> T | None:
        """Return the request, read before it is admitted; None if it is to be admitted first.

        Args:
            read: The reader of the request.
            priority: The class that the caller asks for, if it does.

        Raises:
            InputError: The request is not what its content type says.
            OverloadedError: Too many bytes of bodies are held.
        """
        nbytes = declared_length(self._request.headers)
        if self.control.no_store or self.control.no_cache:
            return None
        if nbytes is None or nbytes > _EARLY_BYTES or not self.cache.early_reads.enter():
            return None
        self._exchange.grant_priority(priority)
        self._early = _EarlyBytes(self._exchange.gateway.admission)
        try:
            return await read(self._request.headers, self._exchange.body(self._early))
        finally:
            self.cache.early_reads.leave()
            self._early.release()

    def hand_over(self, ticket: Ticket) -> None:
        """Let the ticket of the admitted request account for the bytes that were read early."""
        assert self._early is not None, "the body has been read before"
        ticket.hold_bytes(self._early.count)

    def record(self, specs: Sequence[HeadSpec], hits: int, lookups: int) -> None:
        """Count how many of a request's inputs were known."""
        self._hits, self._lookups = hits, lookups
        if self.control.no_store or self.control.no_cache:
            self.cache.count(specs, "bypass", lookups)
            return
        self.cache.count(specs, "hit", hits)
        self.cache.count(specs, "miss", lookups - hits)

    def record_kept(self) -> None:
        """Record that what was computed is kept."""
        self._kept = True

    @property
    def headers(self) -> Mapping[str, str]:
        """The header that says whether the answer is from the cache."""
        value = cache_status(self.control, self._hits, self._lookups, stored=self._kept)
        return {CACHE_STATUS_HEADER: value}


def nbytes_of(inputs: Sequence[RawInput]) -> int:
    """Return at most how many bytes some inputs have."""
    return sum(raw.nbytes for raw in inputs)


class _EarlyBytes:
    """Accounts for the bytes of a body whose request is not admitted yet.

    Args:
        admission: The admission control of the gateway.
    """

    def __init__(self, admission: AdmissionControl) -> None:
        self._admission = admission
        self.arrival = ArrivingBody(admission.now())
        self.count = 0
        self._held = 0

    def hold_bytes(self, count: int) -> None:
        """Account for more bytes of the body; see ``AdmissionControl.hold_bytes``."""
        self._admission.hold_bytes(count)
        self.count += count
        self._held += count

    def release(self) -> None:
        """Stop to account for them."""
        self._admission.bytes -= self._held
        self._held = 0
