"""A clock that is set while the service runs must end no request, and keep none waiting."""

from __future__ import annotations

import re
from pathlib import Path

_SERVICE = Path(__file__).resolve().parents[3] / "service"

_WALL_CLOCK = re.compile(r"\btime\.time\(|\bdatetime\.(now|utcnow|today)\(")

_BY_DATE = {
    "access/api_keys.py",
    "access/key_usage.py",
    "jobs/job_runner.py",
    "jobs/job_service.py",
    "jobs/webhooks.py",
    "monitoring/payloads/cloud_events.py",
    "runtimes/embedded/private_files.py",
}
"""Modules of dates: keys that expire, their usage by day, jobs of several gateways, events, copies
not needed for a month."""


def test_durations_and_deadlines_come_from_clocks_that_are_never_set() -> None:
    modules = {str(path.relative_to(_SERVICE)): path for path in _SERVICE.rglob("*.py")}
    users = {name for name, path in modules.items() if _WALL_CLOCK.search(path.read_text("utf-8"))}
    assert users == _BY_DATE
