"""A decoder that crashes, hangs or takes all memory costs one request, and is replaced."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest

from omnivec2.errors import (
    DeadlineExceededError,
    InvalidInputError,
    ModelNotReadyError,
    TooLargeError,
    UndecodableError,
)
from omnivec2.preprocess.notes import Note, NoteCode
from omnivec2.spec import Modality
from service.decoding.decoder_pool import DecoderPool
from service.decoding.decoder_process import Nursery
from service.pipeline.abandonment import AbandonedError, Abandonment
from service.pipeline.host_stages import FileInput, prepare
from service.request_context import RequestContext, in_request
from tests.support.service_parts.hostile_decoders import (
    HostileOptions,
    HostileParameters,
    HostilePreprocessor,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limits of processes")

MEMORY_BYTES = 256 * 2**20
SOON = 0.5


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    """Two processes."""
    pool = DecoderPool(2, MEMORY_BYTES, 20.0)
    yield pool
    pool.close()


ONE = HostilePreprocessor(HostileParameters())
MANY = HostilePreprocessor(HostileParameters(samples=5))


def numbers(pool: DecoderPool, data: bytes = b"abc") -> list[int]:
    batch = pool.prepare(ONE, FileInput(data), 8).batch
    assert batch is not None
    return list(batch["numbers"][0])


def test_an_input_is_prepared_as_in_this_process(pool: DecoderPool) -> None:
    for preprocessor in (ONE, MANY):
        raw, options = FileInput(b"abc", "image/png"), HostileOptions(factor=2)
        here = prepare(preprocessor, raw, 3, options)
        there = pool.prepare(preprocessor, raw, 3, options)
        assert (here.batch is None) == (there.batch is None)
        assert len(here.prepared.samples) == len(there.prepared.samples)
        for ours, theirs in zip(there.prepared.samples, here.prepared.samples, strict=True):
            np.testing.assert_array_equal(ours["numbers"], theirs["numbers"])
        assert there.prepared.context["size"] == here.prepared.context["size"] == (3, 1)
        np.testing.assert_array_equal(there.prepared.context["first"], [2 * ord("a")])
        assert there.notes == here.notes
        assert there.notes == (Note(NoteCode.IGNORED, "the colour is not used", "colour", 2),)


def test_an_error_comes_back_as_it_was_raised(pool: DecoderPool) -> None:
    with pytest.raises(InvalidInputError, match="expected a colour") as caught:
        numbers(pool, b"refuse")
    assert (caught.value.field, caught.value.known) == ("inputs.colour", ("red",))


def test_a_crash_costs_its_own_request_only(pool: DecoderPool) -> None:
    lost = pool.lost
    with ThreadPoolExecutor(4) as threads:
        good = [threads.submit(numbers, pool) for _ in range(8)]
        bad = [threads.submit(numbers, pool, b"crash") for _ in range(3)]
        good += [threads.submit(numbers, pool) for _ in range(8)]
        assert all(future.result() == list(b"abc") for future in good)
        for future in bad:
            with pytest.raises(InvalidInputError, match="crashed"):
                future.result()
    assert pool.lost >= lost + 3


@pytest.mark.parametrize("data", [b"abc", b"fail if damaged"])
def test_an_input_is_not_blamed_for_what_an_earlier_one_left_behind(data: bytes) -> None:
    pool = DecoderPool(1, MEMORY_BYTES, 20.0)
    try:
        assert numbers(pool, b"damage") == list(b"damage")
        assert numbers(pool, data) == list(data)
        assert numbers(pool, data) == list(data)
    finally:
        pool.close()


def test_a_decoder_that_hangs_is_ended_at_the_deadline(pool: DecoderPool) -> None:
    started = time.monotonic()
    with (
        in_request(RequestContext(deadline=started + SOON)),
        pytest.raises(DeadlineExceededError, match="while decoding"),
    ):
        numbers(pool, b"hang")
    assert time.monotonic() - started < SOON + 10
    assert numbers(pool) == list(b"abc")


def test_a_decoder_has_a_time_limit_of_its_own() -> None:
    pool = DecoderPool(1, MEMORY_BYTES, SOON)
    try:
        with pytest.raises(TooLargeError, match=r"longer than 0\.5 s"):
            numbers(pool, b"hang")
        assert pool.lost == 1
        assert numbers(pool) == list(b"abc")
    finally:
        pool.close()


def test_a_request_whose_time_is_over_starts_nothing(pool: DecoderPool) -> None:
    with (
        in_request(RequestContext(deadline=time.monotonic() - 1)),
        pytest.raises(DeadlineExceededError),
    ):
        numbers(pool)


def test_memory_is_bounded_per_input(pool: DecoderPool) -> None:
    with pytest.raises(TooLargeError, match="more than 256 MiB"):
        numbers(pool, b"take memory")
    assert numbers(pool) == list(b"abc")


def test_a_defect_is_logged_and_named_but_not_shown(
    pool: DecoderPool, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(UndecodableError, match="RuntimeError in its decoder") as caught,
    ):
        numbers(pool, b"fail")
    assert "a defect" in caplog.text
    assert "a defect" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"a set", "type set is not JSON serializable"), (b"dates", r"array of datetime64\[D\]")],
)
def test_a_context_that_cannot_be_sent_is_a_defect_and_no_crash_of_the_file(
    pool: DecoderPool, caplog: pytest.LogCaptureFixture, data: bytes, reason: str
) -> None:
    lost = pool.lost
    with pytest.raises(UndecodableError, match="TypeError in its decoder"):
        numbers(pool, data)
    assert re.search(reason, caplog.text)
    assert pool.lost == lost
    assert numbers(pool) == list(b"abc")


def test_a_decoder_that_comes_back_after_the_end_is_ended() -> None:
    pool = DecoderPool(1, MEMORY_BYTES, 20.0)
    assert numbers(pool) == list(b"abc")
    at_work = pool._idle.get()
    assert at_work is not None
    pool.close()
    pool._give_back(at_work)
    assert at_work._connection.fileno() == -1
    assert pool._idle.get() is None


def test_a_nursery_that_was_killed_is_started_again() -> None:
    pool = DecoderPool(1, MEMORY_BYTES, 20.0)
    try:
        assert numbers(pool) == list(b"abc")
        program = pool._nursery._program
        assert program is not None
        program.kill()
        program.wait()
        with pytest.raises(InvalidInputError, match="crashed"):
            numbers(pool, b"crash")
        assert numbers(pool) == list(b"abc")
    finally:
        pool.close()


def test_a_number_is_not_killed_once_its_decoder_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system may have given the number to another process by then."""
    nursery = Nursery(MEMORY_BYTES, 2**20)
    killed: list[int] = []
    try:
        ended, running = nursery.start_decoder(), nursery.start_decoder()
        os.kill(ended.pid, signal.SIGKILL)
        assert ended._connection.recv(1) == b""  # waits until it has ended
        monkeypatch.setattr(os, "kill", lambda pid, _: killed.append(pid))
        ended.kill()
        running.kill()
    finally:
        monkeypatch.undo()
        nursery.close()
    assert killed == [running.pid]


def test_libraries_of_the_modalities_are_imported_before_the_first_request() -> None:
    pool = DecoderPool(1, MEMORY_BYTES, 20.0)
    try:
        pool.start([Modality.TEXT, Modality.IMAGE])
        assert pool._nursery.modules[0] == "omnivec2.preprocess.image"
        assert "PIL" in pool._nursery.modules
        assert "tokenizers" not in pool._nursery.modules
    finally:
        pool.close()


def test_a_decoder_keeps_nothing_of_earlier_inputs() -> None:
    pool = DecoderPool(1, MEMORY_BYTES, 20.0)
    try:
        for _ in range(3):
            assert numbers(pool, b"leave frames") == list(b"leave frames")
    finally:
        pool.close()


def test_a_decoder_is_ended_once_nobody_waits_for_its_input() -> None:
    pool = DecoderPool(1, MEMORY_BYTES, 3600.0)
    abandonment = Abandonment()
    hang = partial(pool.prepare, ONE, FileInput(b"hang"), 8, None, abandonment)
    try:
        assert numbers(pool) == list(b"abc")
        with ThreadPoolExecutor(1) as threads:
            call = threads.submit(hang)
            while abandonment._end is None:
                time.sleep(0.001)
            abandonment.abandon()
            with pytest.raises(AbandonedError):
                call.result(60)
        assert pool.lost == 0, "the file is not to blame"
        with pytest.raises(AbandonedError):
            hang()
        assert numbers(pool) == list(b"abc")
    finally:
        pool.close()


def test_a_decoder_that_was_ended_after_its_answer_gets_no_other_input() -> None:
    pool = DecoderPool(1, MEMORY_BYTES, 20.0)
    abandonment = Abandonment()
    try:
        assert numbers(pool) == list(b"abc")
        process = pool._idle.get()
        assert process is not None
        pool._idle.put(process)
        answered = process.ask

        def ask_and_be_abandoned(request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
            answer = answered(request, seconds)
            abandonment.abandon()
            return answer

        process.ask = ask_and_be_abandoned  # type: ignore[method-assign]
        with pytest.raises(AbandonedError):
            pool.prepare(ONE, FileInput(b"abc"), 8, None, abandonment)
        replaced = pool._idle.get()
        pool._idle.put(replaced)
        assert replaced is not process
        assert numbers(pool) == list(b"abc")
        assert pool.lost == 0
    finally:
        pool.close()


def test_closing_ends_every_process() -> None:
    pool = DecoderPool(1, MEMORY_BYTES, 20.0)
    assert numbers(pool) == list(b"abc")
    process = pool._idle.get()
    assert process is not None
    pool._idle.put(process)
    pool.close()
    ended = time.monotonic() + 20
    while os.path.exists(f"/proc/{process.pid}") and time.monotonic() < ended:
        time.sleep(0.01)
    assert not os.path.exists(f"/proc/{process.pid}")
    with pytest.raises(ModelNotReadyError):
        numbers(pool)
