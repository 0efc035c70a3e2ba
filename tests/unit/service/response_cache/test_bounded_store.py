from __future__ import annotations

from service.response_cache.bounded_store import ENTRY_BYTES, BoundedStore


def store(entries: int, nbytes: int = 100) -> BoundedStore[str, int]:
    """A store for so many entries of a size."""
    return BoundedStore(entries * (ENTRY_BYTES + nbytes))


def test_what_was_not_used_for_the_longest_time_is_dropped() -> None:
    kept = store(3)
    for place, key in enumerate("abc"):
        kept.put(key, place, 100, 0.0)
    assert kept.get("a") is not None
    kept.put("d", 3, 100, 0.0)
    assert [key for key in "abcd" if kept.get(key)] == ["a", "c", "d"]
    assert kept.nbytes == 3 * (ENTRY_BYTES + 100)


def test_a_large_value_takes_the_place_of_several() -> None:
    kept = store(3)
    for key in "abc":
        kept.put(key, 0, 100, 0.0)
    kept.put("d", 0, 100 + ENTRY_BYTES, 0.0)
    assert [key for key in "abcd" if kept.get(key)] == ["c", "d"]


def test_a_value_larger_than_the_store_is_not_kept_and_drops_nothing_else() -> None:
    kept = store(2)
    kept.put("a", 1, 100, 0.0)
    kept.put("b", 2, 100_000, 0.0)
    assert (len(kept), kept.get("b")) == (1, None)
    # Nor does an older value of its key stay, which would be wrong now.
    kept.put("a", 2, 100_000, 0.0)
    assert (len(kept), kept.nbytes) == (0, 0)


def test_a_value_replaces_that_of_its_key() -> None:
    kept = store(2)
    kept.put("a", 1, 100, 1.0)
    kept.put("a", 2, 50, 2.0)
    entry = kept.get("a")
    assert entry is not None
    assert (entry.value, entry.stored_at, kept.nbytes) == (2, 2.0, ENTRY_BYTES + 50)


def test_an_entry_can_be_dropped() -> None:
    kept = store(4)
    for key in "ab":
        kept.put(key, 0, 10, 0.0)
    kept.discard("a")
    kept.discard("z")
    assert kept.keys() == ["b"]
    assert kept.nbytes == ENTRY_BYTES + 10
