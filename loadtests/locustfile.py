"""Locust's users: one class per modality, with real files, and every answer checked.

``make loadtest`` runs it headless; alone, with Locust's own page, or on several machines, it is
started from the repository's directory with::

    python -m locust -f loadtests/locustfile.py --host http://127.0.0.1:8080 --load-profile mixed
"""

from __future__ import annotations

import json
import random
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, ClassVar

import gevent
from gevent.event import Event
from locust import FastHttpUser, LoadTestShape, events, task
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.traffic.answers import Answers, WrongAnswerError, stages_ms
from loadtests.traffic.corpus import (
    LoadTestError,
    Target,
    check_address,
    fetch,
    find_targets,
    own_headers,
    weight_of,
)
from loadtests.traffic.run_summary import ASK, SHED, STAGE, summarise
from loadtests.traffic.thresholds import broken
from loadtests.traffic.traffic_profile import Profile, read_profile
from omnivec2.spec import Modality

_LONGEST_RETRY_SECONDS = 30.0
_DATA = Path(__file__).parents[1] / "tests" / "data"


class Test:
    """What this process was told to do; filled when Locust has read its options."""

    profile: ClassVar[Profile]
    answers: ClassVar[Answers]
    targets: ClassVar[dict[str, list[tuple[Target, float]]]] = {}
    expected: ClassVar[float] = 0.0
    seconds: ClassVar[float] = 0.0
    run_seconds: ClassVar[float] = 60.0
    prepared: ClassVar[Event] = Event()
    """Workers are sent users while they still look for files."""


class ModalityUser(FastHttpUser):
    """Asks the heads of one modality about its files."""

    abstract = True
    modality: ClassVar[str]

    def on_start(self) -> None:
        """Users of an open loop start spread over a period, lest all arrive at once."""
        Test.prepared.wait()
        shape = Test.profile.shape
        self.client.client.network_timeout = Test.profile.timeout_seconds
        first = random.uniform(0, shape.patience_seconds) if shape.is_open else 0.0
        self._next = time.monotonic() + first
        gevent.sleep(first)

    def wait_time(self) -> float:
        """Until the next arrival; one that is late comes at once. No wait in a closed loop."""
        shape = Test.profile.shape
        if not shape.is_open:
            return 0.0
        self._next += shape.patience_seconds
        return max(0.0, self._next - time.monotonic())

    @task
    def ask(self) -> None:
        """Post one file to one head, and look at the whole answer."""
        pairs = Test.targets[self.modality]
        (target,) = random.choices([t for t, _ in pairs], [weight for _, weight in pairs])
        sample = random.choice(target.samples)
        headers = {"Content-Type": "application/octet-stream", **sample.headers, **own_headers()}
        with self.client.request(
            ASK, target.path, data=sample.body, headers=headers, catch_response=True
        ) as response:
            status, found = response.status_code, _lowered(response.headers or {})
            if not status:
                response.failure(f"no answer: {response.error}")
                return
            try:
                Test.answers.check(target.path, status, found, response.content or b"")
            except WrongAnswerError as error:
                response.failure(str(error))
                return
            if status == 429:
                response.request_meta["request_type"] = SHED
                response.success()
            elif status != 200:
                response.failure(f"{status}: {(response.text or '')[:200]}")
        if status == 200:
            self._log_stages(found["server-timing"])
        elif status == 429 and not Test.profile.shape.is_open:
            wait = float(found["retry-after"])
            gevent.sleep(min(wait, _LONGEST_RETRY_SECONDS))

    def _log_stages(self, server_timing: str) -> None:
        """Rows of their own, past the total: a stage is no request."""
        stats = self.environment.stats
        for stage, milliseconds in stages_ms(server_timing).items():
            for name in (stage, f"{self.modality}/{stage}"):
                stats.get(name, STAGE).log(milliseconds, 0)


# One class per modality, so that reports and weights go by it: ImageUser, TextUser, ...
_USERS = {
    modality.value: type(
        f"{modality.value.capitalize()}User", (ModalityUser,), {"modality": modality.value}
    )
    for modality in Modality
}
globals().update({user.__name__: user for user in _USERS.values()})


class ProfileShape(LoadTestShape):
    """The number of users that a profile asks for, at any time."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """Locust asks once a second; None ends the run."""
        now = min(self.get_run_time(), Test.run_seconds)
        shape = Test.profile.shape
        if shape.is_open:
            Test.expected += shape.rate_at(now) * (now - Test.seconds)
        Test.seconds = now
        if now == Test.run_seconds:
            return None
        users = shape.users_at(now)
        return users, max(users, 1)


@events.init_command_line_parser.add_listener
def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--load-profile", default="mixed", help="name, or path of a .toml file")
    parser.add_argument("--data", default=str(_DATA), help="folder of <modality>/<file>")
    parser.add_argument("--allow-remote", action="store_true", help="load another machine")
    parser.add_argument("--baseline", default="", help="summary of an earlier run to compare with")
    parser.add_argument("--summary", default="", help="where to write the figures, as JSON")


@events.init.add_listener
def _prepare(environment: Environment, **_: Any) -> None:
    """Find the heads and their files, and the weights of the users."""
    options: Any = environment.parsed_options
    url = (environment.host or options.host or "http://127.0.0.1:8080").rstrip("/")
    try:
        Test.profile = read_profile(options.load_profile)
        check_address(url, allow_remote=options.allow_remote)
        targets = find_targets(url, Path(options.data), Test.profile.mix)
        Test.answers = Answers(fetch(f"{url}/openapi.json"))
    except (LoadTestError, ValueError) as error:
        raise SystemExit(f"loadtest: {error}") from error
    Test.run_seconds = float(options.run_time or 60)
    routes = {target.route: target.modality for target in targets}
    for target in targets:
        weight = weight_of(target.route, Test.profile.mix, routes)
        Test.targets.setdefault(target.modality, []).append((target, weight))
    used = [_USERS[name] for name in sorted(Test.targets)]
    least = min(sum(weight for _, weight in pairs) for pairs in Test.targets.values())
    for user in used:
        user.host = url
        total = sum(weight for _, weight in Test.targets[user.modality])
        user.weight = max(1, round(10 * total / least))
    environment.user_classes = used
    Test.prepared.set()
    if Test.profile.shape.users_at(0) < len(used) and not Test.profile.shape.is_open:
        raise SystemExit(f"loadtest: {len(used)} modalities need as many users")


@events.quitting.add_listener
def _judge(environment: Environment, **_: Any) -> None:
    """Write the summary; the exit code says whether all thresholds hold."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner) or runner is None:
        return
    options: Any = environment.parsed_options
    seconds = time.time() - runner.stats.start_time
    summary = summarise(runner.stats, Test.profile, min(seconds, Test.seconds), Test.expected)
    baseline = json.loads(Path(options.baseline).read_text()) if options.baseline else None
    messages = broken(summary, Test.profile, baseline)
    for failure in runner.exceptions.values():
        messages.append(f"a user failed {failure['count']} times: {failure['msg']}")
    summary["broken"] = messages
    if options.summary:
        Path(options.summary).write_text(json.dumps(summary, indent=1) + "\n")
    for message in messages:
        print(f"threshold broken: {message}")
    environment.process_exit_code = 1 if messages else 0


def _lowered(headers: Any) -> dict[str, str]:
    """Header names in one spelling, whatever the server's."""
    return {str(name).lower(): str(value) for name, value in headers.items()}
