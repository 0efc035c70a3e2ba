"""Which inputs are prepared in the event loop."""

from __future__ import annotations

from service.pipeline.inline_costs import InlineCosts

FAST, SLOW = 50e-6, 5e-3


def answers(costs: InlineCosts, nbytes: int, seconds: float, count: int) -> list[bool]:
    """Ask and learn as the data plane does: only calls in the event loop are measured."""
    found = []
    for _ in range(count):
        is_small = costs.are_small(nbytes)
        if is_small:
            costs.learn(nbytes, seconds)
        found.append(is_small)
    return found


def test_the_first_input_of_a_size_goes_to_a_thread_and_cheap_ones_follow_in_the_event_loop() -> (
    None
):
    assert answers(InlineCosts(), 100, FAST, 20) == [False, *([True] * 19)]


def test_sizes_are_learned_apart() -> None:
    costs = InlineCosts()
    answers(costs, 100, FAST, 10)
    assert not costs.are_small(5000)
    assert costs.are_small(100)


def test_what_is_slow_goes_to_threads_after_a_few_trials() -> None:
    assert answers(InlineCosts(), 100, SLOW, 20) == [False, *([True] * 4), *([False] * 15)]


def test_what_was_slow_is_tried_again_after_a_while() -> None:
    costs = InlineCosts()
    assert True not in answers(costs, 100, SLOW, 90)[5:]
    assert answers(costs, 100, FAST, 40)[-20:] == [True] * 20


def test_one_disturbed_call_changes_nothing() -> None:
    costs = InlineCosts()
    answers(costs, 100, FAST, 10)
    costs.learn(100, SLOW)
    assert costs.are_small(100)


def test_large_inputs_always_go_to_threads() -> None:
    assert answers(InlineCosts(), 2**20, FAST, 10) == [False] * 10


def test_after_an_input_that_failed_the_next_goes_to_a_thread_again() -> None:
    costs = InlineCosts()
    assert [costs.are_small(100) for _ in range(4)] == [False, True, False, True]
