from __future__ import annotations

import pytest

from omnivec2.errors import OverloadedError
from service.admission import Admission


def test_more_requests_than_allowed_are_refused_until_one_leaves() -> None:
    admission = Admission(max_requests=1, max_bytes=10)
    with admission.enter(), pytest.raises(OverloadedError):
        admission.enter()
    with admission.enter():
        assert admission.requests == 1
    assert admission.requests == 0


def test_bytes_are_given_back_when_a_request_leaves() -> None:
    admission = Admission(max_requests=2, max_bytes=10)
    with admission.enter() as first:
        first.take(8)
        with admission.enter() as second, pytest.raises(OverloadedError):
            second.take(3)
    assert admission.bytes == 0
