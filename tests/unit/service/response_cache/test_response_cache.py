from __future__ import annotations

import numpy as np

from omnivec2.preprocess.notes import Note, NoteCode
from service.response_cache.response_cache import KeptBody, KeptVectors, ResponseCache
from tests.support.service_parts.service_fakes import FakeRuntime, letters_head, letters_spec

BODY = KeptBody(b"[1]", ())
ANY_AGE = float("inf")


class Served:
    """A cache over one head, which can be replaced."""

    def __init__(self) -> None:
        self.time = 0.0
        self.cache = ResponseCache(2**20, clock=lambda: self.time)
        self.replace()

    def replace(self) -> None:
        head = letters_head(FakeRuntime(letters_spec()))
        self.model = head.model
        self.heads = {"image/embedding": head}
        self.cache.follow(self.heads)


def test_an_answer_is_found_by_its_models_and_the_digest_of_its_request() -> None:
    served = Served()
    served.cache.keep([served.model], b"one", BODY)
    assert served.cache.find([served.model], b"one", KeptBody, ANY_AGE) == BODY
    assert served.cache.find([served.model], b"other", KeptBody, ANY_AGE) is None
    assert served.cache.find([served.model] * 2, b"one", KeptBody, ANY_AGE) is None
    assert served.cache.find([served.model], b"one", KeptVectors, ANY_AGE) is None


def test_answers_of_a_model_that_was_replaced_are_gone_though_its_spec_and_version_are_equal() -> (
    None
):
    served = Served()
    old = served.model
    served.cache.keep([old], b"one", BODY)
    served.replace()
    assert (served.model.spec, served.model.version) == (old.spec, old.version)
    assert served.cache.find([served.model], b"one", KeptBody, ANY_AGE) is None
    assert served.cache.find([old], b"one", KeptBody, ANY_AGE) is None
    assert served.cache.nbytes == 0


def test_many_answers_of_a_model_that_was_replaced_are_dropped_little_by_little() -> None:
    served = Served()
    for number in range(1500):
        served.cache.keep([served.model], b"%d" % number, BODY)
    old = served.model
    served.replace()
    left = served.cache.nbytes
    assert left > 0
    assert served.cache.find([served.model], b"0", KeptBody, ANY_AGE) is None
    served.cache.keep([served.model], b"new", BODY)
    served.cache.follow(served.heads)
    assert served.cache.nbytes < left
    assert served.cache.find([old], b"0", KeptBody, ANY_AGE) is None
    assert served.cache.find([served.model], b"new", KeptBody, ANY_AGE) == BODY


def test_a_late_answer_of_a_model_that_was_replaced_is_not_kept() -> None:
    served = Served()
    old = served.model
    served.replace()
    served.cache.keep([old], b"one", BODY)
    assert served.cache.nbytes == 0


def test_an_answer_older_than_the_caller_wants_is_not_found() -> None:
    served = Served()
    served.cache.keep([served.model], b"one", BODY)
    served.time = 10.0
    assert served.cache.find([served.model], b"one", KeptBody, 9.0) is None
    assert served.cache.find([served.model], b"one", KeptBody, 10.0) == BODY


def test_notes_and_vectors_count_by_their_size() -> None:
    note = Note(NoteCode.CUT, "the end was cut")
    assert KeptBody(b"x" * 100, (note,)).nbytes > 100 + 400
    vectors = KeptVectors(np.zeros((2, 384)), 5, ())
    assert vectors.nbytes == 2 * 384 * 8


def test_requests_are_read_early_as_long_as_there_are_places() -> None:
    cache = ResponseCache(2**20, most_early_reads=2)
    reads = cache.early_reads
    assert [reads.enter(), reads.enter(), reads.enter()] == [True, True, False]
    reads.leave()
    assert reads.enter()
