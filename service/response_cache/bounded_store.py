"""A store of a bounded number of bytes, which drops what was not used for the longest time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")

ENTRY_BYTES = 640
"""The bytes that an entry counts beside its value, for its key and the objects around both: 440 to
560 by ``tracemalloc``."""


@dataclass(frozen=True, slots=True)
class Entry(Generic[ValueT]):
    """A value, the bytes that it counts, and the time when it was stored."""

    value: ValueT
    nbytes: int
    stored_at: float


class BoundedStore(Generic[KeyT, ValueT]):
    """Values by key; used on the event loop only.

    Args:
        max_bytes: The most bytes that all entries may count.

    Attributes:
        nbytes: The bytes that the entries count now.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[KeyT, Entry[ValueT]] = OrderedDict()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: KeyT) -> Entry[ValueT] | None:
        """Return an entry, which counts as used now; None if there is none."""
        if (entry := self._entries.get(key)) is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: KeyT, value: ValueT, nbytes: int, now: float) -> None:
        """Store a value in the place of any of its key, unless it is larger than the whole store.

        Args:
            key: The key.
            value: The value.
            nbytes: The size of the value.
            now: The time.
        """
        if (old := self._entries.pop(key, None)) is not None:
            self.nbytes -= old.nbytes
        nbytes += ENTRY_BYTES
        if nbytes > self._max_bytes:
            return
        self._entries[key] = Entry(value, nbytes, now)
        self.nbytes += nbytes
        while self.nbytes > self._max_bytes:
            _, dropped = self._entries.popitem(last=False)
            self.nbytes -= dropped.nbytes

    def keys(self) -> list[KeyT]:
        """Return the keys of all entries."""
        return list(self._entries)

    def discard(self, key: KeyT) -> None:
        """Drop the entry of a key, if there is one."""
        if (dropped := self._entries.pop(key, None)) is not None:
            self.nbytes -= dropped.nbytes
