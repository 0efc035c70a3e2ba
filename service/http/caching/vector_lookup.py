"""Embeddings from the cache, input by input: of a list, only what is not known is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from pydantic import JsonValue
from starlette.requests import Request

from omnivec2.errors import InputError, InvalidInputError
from service.http.caching.cache_lookup import CacheLookup, nbytes_of
from service.http.embeddings.counted_tokens import InputTokens
from service.http.embeddings.embedding_requests import SEVERAL_VECTORS, EmbeddingRequest
from service.http.http_exchange import HttpExchange
from service.pipeline.answers import RequestNotes, Timings, ValueAnswer
from service.pipeline.concurrency import in_slices, in_thread_if_large
from service.pipeline.data_plane import DataPlane
from service.pipeline.host_stages import check_count, name_input
from service.request_context import REQUEST, in_request
from service.response_cache.request_digest import request_digest
from service.response_cache.response_cache import KeptVectors, ResponseCache
from service.runtimes.base import Model


@dataclass(frozen=True)
class _Computed:
    """The vectors of one input, the models that gave them, and how long that took."""

    kept: KeptVectors
    models: Sequence[Model]
    timings: Timings


class VectorLookup(CacheLookup):
    """The lookups of one request for embeddings.

    Args:
        cache: The cache.
        request: The request.
        exchange: The exchange of the request.
    """

    def __init__(self, cache: ResponseCache, request: Request, exchange: HttpExchange) -> None:
        super().__init__(cache, request, exchange)
        self._digests: Sequence[bytes] = ()
        self._known: dict[bytes, KeptVectors] = {}

    @property
    def is_complete(self) -> bool:
        """Whether the vectors of all inputs are known."""
        return bool(self._digests) and self._known.keys() >= set(self._digests)

    async def find(self, asked: EmbeddingRequest) -> None:
        """Look up the inputs of a request.

        Raises:
            InvalidInputError: There is no input.
            TooLargeError: There are too many.
        """
        check_count(len(asked.inputs), asked.head)
        self.cache.follow(self._exchange.gateway.dataplane.heads)
        control, model = self.control, asked.head.model
        scope = self.scope

        def digests() -> list[bytes]:
            facts = ("vectors", scope, f"{asked.batched}")
            return [request_digest([raw], asked.parameters, *facts) for raw in asked.inputs]

        if not control.no_store:
            self._digests = await in_thread_if_large(nbytes_of(asked.inputs), digests)
        if not (control.no_store or control.no_cache):
            for digest in set(self._digests):
                kept = self.cache.find([model], digest, KeptVectors, control.max_age)
                if kept is not None:
                    self._known[digest] = kept
        hits = sum(digest in self._known for digest in self._digests)
        self.record([asked.head.spec], hits, len(asked.inputs))

    def known(self, asked: EmbeddingRequest, notes: RequestNotes) -> tuple[ValueAnswer, int]:
        """Return the answer to a request whose vectors are all known, and its tokens.

        Args:
            asked: The request.
            notes: The notes on the request so far, to be added to.

        Raises:
            NotedInputError: There are notes on an input, and they are strict.
        """
        return self._answer(asked, notes, Timings())

    async def compute(
        self, plane: DataPlane, asked: EmbeddingRequest, notes: RequestNotes
    ) -> tuple[ValueAnswer, int] | None:
        """Compute the vectors that are not known, keep them, and return the answer and its tokens.

        Args:
            plane: The data plane.
            asked: The request.
            notes: The notes on the request so far, to be added to.

        Returns:
            None if another model has taken the place of the one whose vectors are known, because
            vectors of two models must not be in one answer, or if the request forbids to keep them.

        Raises:
            InputError: An input is wrong; ``field`` says which.
        """
        if not self._digests:
            return None
        places = {digest: place for place, digest in reversed(list(enumerate(self._digests)))}
        missing = {d: place for d, place in places.items() if d not in self._known}
        REQUEST.get().work.expect_inputs(len(missing))
        calls = [self._compute_one(plane, asked, place) for place in missing.values()]
        computed = await in_slices(calls, asked.head.spec.limits.inputs)
        self.cache.follow(plane.heads)
        timings = Timings()
        for digest, one in zip(missing, computed, strict=True):
            self.cache.keep(one.models, digest, one.kept)
            self._known[digest] = one.kept
            for stage, seconds in vars(one.timings).items():
                setattr(timings, stage, getattr(timings, stage) + seconds)
        if {model for one in computed for model in one.models} - {asked.head.model}:
            return None
        self.record_kept()
        return self._answer(asked, notes, timings)

    async def _compute_one(
        self, plane: DataPlane, asked: EmbeddingRequest, place: int
    ) -> _Computed:
        context = REQUEST.get()
        tokens = InputTokens(context.work)
        try:
            with in_request(replace(context, work=tokens)):
                answer = await plane.predict_value(
                    asked.head, [asked.inputs[place]], asked.parameters, batched=False
                )
        except InputError as error:
            if asked.batched:
                name_input(error, place)
            raise
        vectors = np.asarray(cast(list[list[float]], answer.value), np.float64)
        if asked.batched and len(vectors) != 1:
            raise InvalidInputError(SEVERAL_VECTORS, field="inputs")
        kept = KeptVectors(vectors, tokens.total, tuple(answer.notes))
        return _Computed(kept, answer.models, answer.timings)

    def _answer(
        self, asked: EmbeddingRequest, notes: RequestNotes, timings: Timings
    ) -> tuple[ValueAnswer, int]:
        vectors: list[JsonValue] = []
        tokens = 0
        for place, digest in enumerate(self._digests):
            known = self._known[digest]
            notes.add(known.notes, place if asked.batched else None)
            vectors += known.vectors.tolist()
            tokens += known.tokens
        return ValueAnswer(vectors, [asked.head.model], timings, notes.in_order()), tokens
