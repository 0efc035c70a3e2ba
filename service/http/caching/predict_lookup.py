"""Answers of ``/predict`` from the cache: a request is kept as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from starlette.requests import Request

from service.http.caching.cache_lookup import CacheLookup, nbytes_of
from service.http.forms.json_requests import PredictRequest
from service.http.http_exchange import HttpExchange
from service.pipeline.answers import Answer, Timings
from service.pipeline.concurrency import in_thread_if_large
from service.pipeline.host_stages import Head
from service.response_cache.request_digest import request_digest
from service.response_cache.response_cache import KeptBody, ResponseCache


class PredictLookup(CacheLookup):
    """The lookup of one request to ``/predict``, which is kept as a whole.

    Args:
        cache: The cache.
        request: The request.
        exchange: The exchange of the request.
        heads: The heads that would answer.
        strict: Whether notes refuse the request.
    """

    def __init__(
        self,
        cache: ResponseCache,
        request: Request,
        exchange: HttpExchange,
        heads: Sequence[Head],
        *,
        strict: bool,
    ) -> None:
        super().__init__(cache, request, exchange)
        self._models = [head.model for head in heads]
        self._strict = strict
        self._digest = b""

    async def find(self, read: PredictRequest) -> Answer | None:
        """Return the known answer to a request; None if it has to be computed."""
        self.cache.follow(self._exchange.gateway.dataplane.heads)
        specs = [model.spec for model in self._models]
        if self.control.no_store:
            self.record(specs, 0, 1)
            return None
        facts = (
            *("predict", self.scope, f"{self._strict}", f"{read.batched}"),
            self._request.scope["query_string"].decode("latin-1"),
        )
        digest = partial(request_digest, read.inputs, read.parameters, *facts, notes=read.notes)
        self._digest = await in_thread_if_large(nbytes_of(read.inputs), digest)
        kept = None
        if not self.control.no_cache:
            kept = self.cache.find(self._models, self._digest, KeptBody, self.control.max_age)
        self.record(specs, int(kept is not None), 1)
        return Answer(kept.body, self._models, Timings(), kept.notes) if kept else None

    def keep(self, answer: Answer) -> None:
        """Keep an answer that was computed, unless the request forbids it."""
        if self._digest:
            self.cache.follow(self._exchange.gateway.dataplane.heads)
            kept = KeptBody(answer.body, tuple(answer.notes))
            self.cache.keep(answer.models, self._digest, kept)
            self.record_kept()
