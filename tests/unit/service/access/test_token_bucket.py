"""Token buckets in a process."""

from __future__ import annotations

import pytest

from service.access.token_bucket import BucketLimit, TokenBucket

LIMIT = BucketLimit(rate=2.0, burst=4.0)


def test_a_bucket_grants_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(now=0.0)
    assert [bucket.take(1.0, LIMIT, 0.0) for _ in range(4)] == [0.0] * 4
    assert bucket.take(1.0, LIMIT, 0.0) == 0.5
    assert bucket.take(1.0, LIMIT, 0.25) == 0.25
    assert bucket.take(1.0, LIMIT, 0.5) == 0.0
    granted = sum(not bucket.take(1.0, LIMIT, 0.5 + n / 100) for n in range(1001))
    assert granted == 20


def test_what_costs_more_than_a_full_bucket_is_granted_and_paid_for_later() -> None:
    bucket = TokenBucket(now=0.0)
    assert bucket.take(10.0, LIMIT, 0.0) == 0.0
    assert bucket.tokens == -6.0
    assert bucket.take(1.0, LIMIT, 0.0) == 3.5
    assert bucket.take(10.0, LIMIT, 0.0) == 5.0


def test_tokens_that_are_given_back_do_not_exceed_the_burst() -> None:
    bucket = TokenBucket(now=0.0)
    bucket.take(3.0, LIMIT, 0.0)
    bucket.give_back(2.0, LIMIT, 0.0)
    assert bucket.tokens == 3.0
    bucket.give_back(9.0, LIMIT, 0.0)
    assert bucket.tokens == 4.0
    bucket.give_back(-9.0, LIMIT, 0.0)
    assert bucket.tokens == -5.0


def test_what_was_granted_elsewhere_empties_a_bucket_and_makes_no_debt() -> None:
    bucket = TokenBucket(now=0.0)
    bucket.draw(3.0, LIMIT, 0.0)
    assert bucket.tokens == 1.0
    bucket.draw(3.0, LIMIT, 0.0)
    assert bucket.tokens == 0.0
    bucket.give_back(-2.0, LIMIT, 0.0)
    bucket.draw(1.0, LIMIT, 0.0)
    assert bucket.tokens == -2.0


@pytest.mark.parametrize(("replicas", "share"), [(1, (2, 4)), (2, (1, 2)), (8, (0.25, 1))])
def test_a_share_holds_one_request_at_least(replicas: int, share: tuple[float, float]) -> None:
    part = LIMIT.share(replicas, least_burst=1.0)
    assert (part.rate, part.burst) == share
