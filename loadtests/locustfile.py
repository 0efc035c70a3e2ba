"""Locust's users: one class per modality, which posts real files and checks every answer.

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
from typing import Any, ClassVar, cast

import gevent
from gevent.event import Event
from locust import FastHttpUser, LoadTestShape, events, task
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.traffic.answer_checks import Answers, WrongAnswerError, stages_ms
from loadtests.traffic.corpus import (
    LoadTestError,
    Target,
    auth_headers,
    check_address,
    fetch,
    find_targets,
    weight_of,
)
from loadtests.traffic.run_summary import POSTED, SHED, STAGE, summarise
from loadtests.traffic.thresholds import broken_thresholds
from loadtests.traffic.traffic_profile import Profile, read_profile
from omnivec2.spec import Modality

_LONGEST_RETRY_SECONDS = 30.0
_GOLDEN_RATIO = (5**0.5 - 1) / 2
_DATA = Path(__file__).parents[1] / "tests" / "data"


class CurrentRun:
    """The load test of this process; complete once Locust has read its options."""

    profile: ClassVar[Profile]
    answers: ClassVar[Answers]
    targets: ClassVar[dict[str, list[tuple[Target, float]]]] = {}
    expected: ClassVar[float] = 0.0
    seconds: ClassVar[float] = 0.0
    run_seconds: ClassVar[float] = 60.0
    phase: ClassVar[float] = random.random()
    """The part of the period that the newest user waited; another in every process."""

    prepared: ClassVar[Event] = Event()
    """Workers get users while they are still looking for files."""


class ModalityUser(FastHttpUser):
    """Posts the files of one modality to its heads."""

    abstract = True
    modality: ClassVar[str]

    def on_start(self) -> None:
        """Wait a part of the period in an open loop, so that arrivals are evenly spread.

        Random parts would leave the rate of a short run to chance: multiples of the golden ratio,
        modulo one, divide the period evenly however many users there are.
        """
        CurrentRun.prepared.wait()
        shape = CurrentRun.profile.shape
        CurrentRun.phase = (CurrentRun.phase + _GOLDEN_RATIO) % 1.0
        first = CurrentRun.phase * shape.patience_seconds if shape.is_open else 0.0
        self._next = time.monotonic() + first
        gevent.sleep(first)

    def wait_time(self) -> float:
        """Return the seconds until the next arrival; none if it is late, or in a closed loop."""
        shape = CurrentRun.profile.shape
        if not shape.is_open:
            return 0.0
        self._next += shape.patience_seconds
        return max(0.0, self._next - time.monotonic())

    @task
    def ask(self) -> None:
        """Post one file to one head, and check the complete answer."""
        pairs = CurrentRun.targets[self.modality]
        (target,) = random.choices([t for t, _ in pairs], [weight for _, weight in pairs])
        sample = random.choice(target.samples)
        headers = {"Content-Type": "application/octet-stream", **sample.headers, **auth_headers()}
        with self.client.request(
            POSTED,
            target.path,
            data=sample.body,  # type: ignore[arg-type]  # bytes are allowed, by its docstring
            headers=headers,
            catch_response=True,
        ) as response:
            status, found = response.status_code, _lower_names(response.headers or {})
            if not status:
                response.failure(f"no answer: {response.error}")
                return
            try:
                CurrentRun.answers.check(target.path, status, found, response.content or b"")
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
        elif status == 429 and not CurrentRun.profile.shape.is_open:
            wait = float(found["retry-after"])
            gevent.sleep(min(wait, _LONGEST_RETRY_SECONDS))

    def _log_stages(self, server_timing: str) -> None:
        """Log stages in rows outside of the total: a stage is no request."""
        stats = self.environment.stats
        for stage, milliseconds in stages_ms(server_timing).items():
            for name in (stage, f"{self.modality}/{stage}"):
                stats.get(name, STAGE).log(milliseconds, 0)


# One class per modality, so that reports and weights go by it: ImageUser, TextUser, ...
_USERS = {
    modality.value: cast(
        "type[ModalityUser]",
        type(f"{modality.value.capitalize()}User", (ModalityUser,), {"modality": modality.value}),
    )
    for modality in Modality
}
globals().update({user.__name__: user for user in _USERS.values()})


class ProfileShape(LoadTestShape):
    """The number of users of the profile at any time."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """Return users and spawn rate, once a second; None ends the run."""
        now = min(self.get_run_time(), CurrentRun.run_seconds)
        shape = CurrentRun.profile.shape
        if shape.is_open:
            CurrentRun.expected += shape.rate_at(now) * (now - CurrentRun.seconds)
        CurrentRun.seconds = now
        if now == CurrentRun.run_seconds:
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
    """Find the heads and their files, and set the weights of the users."""
    options: Any = environment.parsed_options
    url = (environment.host or options.host or "http://127.0.0.1:8080").rstrip("/")
    try:
        CurrentRun.profile = read_profile(options.load_profile)
        check_address(url, allow_remote=options.allow_remote)
        targets = find_targets(url, Path(options.data), CurrentRun.profile.mix)
        CurrentRun.answers = Answers(fetch(f"{url}/openapi.json"))
    except (LoadTestError, ValueError) as error:
        raise SystemExit(f"loadtest: {error}") from error
    CurrentRun.run_seconds = float(options.run_time or 60)
    routes = {target.route: target.modality for target in targets}
    for target in targets:
        weight = weight_of(target.route, CurrentRun.profile.mix, routes)
        CurrentRun.targets.setdefault(target.modality, []).append((target, weight))
    used = [_USERS[name] for name in sorted(CurrentRun.targets)]
    weights = {name: sum(w for _, w in pairs) for name, pairs in CurrentRun.targets.items()}
    least = min(weights.values())
    for user in used:
        user.host = url
        user.network_timeout = CurrentRun.profile.timeout_seconds
        user.weight = max(1, round(10 * weights[user.modality] / least))
    environment.user_classes = list(used)
    CurrentRun.prepared.set()
    if CurrentRun.profile.shape.users_at(0) < len(used) and not CurrentRun.profile.shape.is_open:
        raise SystemExit(f"loadtest: {len(used)} modalities need as many users")


@events.quitting.add_listener
def _check_thresholds(environment: Environment, **_: Any) -> None:
    """Write the summary, and set the exit code to 1 if a threshold is broken."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner) or runner is None:
        return
    options: Any = environment.parsed_options
    seconds = time.time() - runner.stats.start_time
    summary = summarise(
        runner.stats, CurrentRun.profile, min(seconds, CurrentRun.seconds), CurrentRun.expected
    )
    baseline = json.loads(Path(options.baseline).read_text()) if options.baseline else None
    messages = broken_thresholds(summary, CurrentRun.profile, baseline)
    for failure in runner.exceptions.values():
        messages.append(f"a user failed {failure['count']} times: {failure['msg']}")
    summary["broken"] = messages
    if options.summary:
        Path(options.summary).write_text(json.dumps(summary, indent=1) + "\n")
    for message in messages:
        print(f"threshold broken: {message}")
    environment.process_exit_code = 1 if messages else 0


def _lower_names(headers: Any) -> dict[str, str]:
    """Return headers with lower-case names, whatever the server's spelling."""
    return {str(name).lower(): str(value) for name, value in headers.items()}
