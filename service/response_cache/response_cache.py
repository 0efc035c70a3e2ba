"""The cache of answers: what is kept, for which models, and what is counted.

An entry belongs to the models that gave the answer. A model is one object as long as it is served
with the same files in the same engine and precision, and another one afterwards
(``service.runtimes.base.Model``): when a head is replaced its entries cannot be found any more, and
they are dropped. A request that meets the swap keeps its answer for the model that really gave it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from omnivec2.arrays import Array
from omnivec2.preprocess.notes import Note
from omnivec2.spec import HeadSpec
from service.pipeline.host_stages import Head
from service.response_cache.bounded_store import BoundedStore
from service.runtimes.base import Model

ValueT = TypeVar("ValueT")

_NOTE_BYTES = 512
"""The bytes that a note counts, with its texts: some 300 by ``tracemalloc``."""

_CHECKED_AT_ONCE = 1000
"""The entries whose models are compared with those that are served at every lookup, which takes
less than a millisecond."""

CacheKey = tuple[tuple[Model, ...], bytes]
"""The models that answered, and the digest of the request."""

ObserveLookup = Callable[[str, str, str, int], None]
"""Takes the modality and the task of a head, the outcome (hit, miss or bypass), and how often."""


@dataclass(frozen=True, slots=True)
class KeptBody:
    """The body of an answer, and its notes."""

    body: bytes
    notes: tuple[Note, ...]

    @property
    def nbytes(self) -> int:
        """The bytes that it counts."""
        return len(self.body) + _NOTE_BYTES * len(self.notes)


@dataclass(frozen=True, slots=True)
class KeptVectors:
    """The vectors of one input, float64 (vectors, width), its tokens, and the notes on it."""

    vectors: Array
    tokens: int
    notes: tuple[Note, ...]

    @property
    def nbytes(self) -> int:
        """The bytes that they count."""
        return self.vectors.nbytes + _NOTE_BYTES * len(self.notes)


class EarlyReads:
    """The number of requests that are read before they are admitted, to be looked up.

    Args:
        most: The most of them at the same time; others are admitted first.
    """

    def __init__(self, most: int) -> None:
        self._left = most

    def enter(self) -> bool:
        """Take a place, if one is left; ``leave`` gives it back."""
        if self._left <= 0:
            return False
        self._left -= 1
        return True

    def leave(self) -> None:
        """Give a place back."""
        self._left += 1


class ResponseCache:
    """The answers that are kept, of all heads; used on the event loop only.

    Args:
        max_bytes: The most bytes that they may take.
        across_keys: Whether the answer to one API key may be given to another.
        most_early_reads: The most requests that are read before they are admitted.
        observe: The callback for every lookup.
        clock: A clock in seconds.

    Attributes:
        across_keys: Whether the answer to one API key may be given to another.
        early_reads: The requests that are read before they are admitted.
    """

    def __init__(
        self,
        max_bytes: int,
        *,
        across_keys: bool = False,
        most_early_reads: int = 64,
        observe: ObserveLookup = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.across_keys = across_keys
        self.early_reads = EarlyReads(most_early_reads)
        self._observe = observe
        self._clock = clock
        self._store: BoundedStore[CacheKey, KeptBody | KeptVectors] = BoundedStore(max_bytes)
        self._heads: Mapping[str, Head] = {}
        self._served: set[Model] = set()
        self._unchecked: list[CacheKey] = []

    @property
    def nbytes(self) -> int:
        """The bytes that are taken now."""
        return self._store.nbytes

    def follow(self, heads: Mapping[str, Head]) -> None:
        """Drop answers of models that are not served any more: some at every call.

        They cannot be found meanwhile. Millions of them at once would hold up the event loop.

        Args:
            heads: The heads that are served now: a mapping that is replaced when they change.
        """
        if heads is not self._heads:
            self._heads = heads
            self._served = {head.model for head in heads.values()}
            self._unchecked = self._store.keys()
        for _ in range(min(len(self._unchecked), _CHECKED_AT_ONCE)):
            key = self._unchecked.pop()
            if not self._served.issuperset(key[0]):
                self._store.discard(key)

    def find(
        self, models: Sequence[Model], digest: bytes, kind: type[ValueT], max_age: float
    ) -> ValueT | None:
        """Return what these models answered to a request; None if it is not known.

        Args:
            models: The models that would answer now.
            digest: The digest of the request; see ``request_digest``.
            kind: The class of what was kept.
            max_age: The longest time since it was answered, in seconds.
        """
        entry = self._store.get((tuple(models), digest))
        if entry is None or self._clock() - entry.stored_at > max_age:
            return None
        return entry.value if isinstance(entry.value, kind) else None

    def keep(self, models: Sequence[Model], digest: bytes, value: KeptBody | KeptVectors) -> None:
        """Keep what models have answered, unless one of them is not served any more."""
        if self._served.issuperset(models):
            self._store.put((tuple(models), digest), value, value.nbytes, self._clock())

    def count(self, specs: Sequence[HeadSpec], outcome: str, times: int = 1) -> None:
        """Count lookups for each of some heads."""
        for spec in specs if times else ():
            self._observe(spec.modality.value, spec.task, outcome, times)
