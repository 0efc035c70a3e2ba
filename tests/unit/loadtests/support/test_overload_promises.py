from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from loadtests.support.overload_promises import add_load_options, figures_of_answers, report
from loadtests.traffic.flood import Exchange


def options(*words: str) -> Namespace:
    parser = ArgumentParser()
    add_load_options(parser, seconds=10.0, deadline_seconds=2.0)
    return parser.parse_args(words)


def test_both_tests_state_the_load_in_the_same_options() -> None:
    assert vars(options("--seconds", "3")) == {
        "factor": 10.0,
        "at_least": 0.9,
        "late_share": 0.0,
        "seconds": 3.0,
        "sustain_seconds": 10.0,
        "deadline_seconds": 2.0,
    }


def test_only_answers_in_time_count() -> None:
    sent = [
        *(Exchange(at_seconds=n / 10, seconds=0.5, status=200) for n in range(100)),
        Exchange(at_seconds=10.0, seconds=2.5, status=200),
        Exchange(at_seconds=10.0, seconds=0.1, status=429),
    ]
    figures = figures_of_answers(sent, options())
    assert figures["sent_per_second"] == 10.2
    assert figures["in_time_per_second"] == 10.0
    assert figures["answered_ms"] == {"p50": 500, "p99": 500}
    assert figures["statuses"] == {"200": 101, "429": 1}


@pytest.mark.parametrize(("holds", "code"), [(True, 0), (False, 1)])
def test_a_broken_promise_is_the_exit_code(tmp_path: Path, holds: bool, code: int) -> None:
    checks = [{"name": "answered in time", "seen": "95 %", "allowed": ">= 90 %", "ok": holds}]
    given = options()
    given.reports = tmp_path
    assert report("overload", {"what": "overload"}, checks, given) == code
    [path] = tmp_path.glob("overload_*.json")
    written = json.loads(path.read_text())
    assert written["what"] == "overload"
    assert written["promises"] == checks
