"""``omnivec2 key usage``: from the shared state, and from the metrics of a gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from prometheus_client import start_http_server

from service.observability.gateway_metrics import Metrics
from tests.support.command_line import run
from tests.support.outside_services.shared_state import needs_store, running_store


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("OMNIVEC2_SHARED_STATE_URL", raising=False)


@contextmanager
def scraped_gateway() -> Iterator[str]:
    """Give the address of the metrics of a gateway at which a key has been used."""
    metrics = Metrics()
    metrics.keys.observe("alice", {"requests": 3, "compute_seconds": 0.5, "sent_bytes": 1234})
    server, thread = start_http_server(0, "127.0.0.1", metrics.registry)
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@needs_store
def test_the_usage_of_all_gateways_is_added_up_over_days(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    today = datetime.now(UTC).date().isoformat()
    with running_store() as store:
        client = store.client()
        client.hset(f"omnivec2:usage:{{alice}}:{today}", mapping={"requests": 2, "refused": 1})
        client.hset("omnivec2:usage:{alice}:2020-01-01", mapping={"requests": 50})
        client.hset(f"omnivec2:usage:{{bob}}:{today}", mapping={"compute_seconds": "1234.56"})
        client.hset(f"omnivec2:usage:{{bob}}:{today}:additions", mapping={"gateway": 3})
        monkeypatch.setenv("OMNIVEC2_SHARED_STATE_URL", store.url)
        table = run("key", "usage")
        assert table.exit_code == 0, table.output
        rows = [line.split("│")[1:-1] for line in table.stdout.splitlines() if "│" in line]
        assert [[cell.strip() for cell in row] for row in rows] == [
            ["alice", "2", "1", "0.0", "0", "0"],
            ["bob", "0", "0", "1,234.6", "0", "0"],
        ]
        [row] = json.loads(run("key", "usage", "bob", "--days", "1", "--json").stdout)
        assert row["compute_seconds"] == 1234.56
        unknown = run("key", "usage", "carol")
        assert unknown.exit_code == 2
        assert "nothing has been counted for carol" in unknown.output


def test_without_a_shared_state_the_metrics_of_a_gateway_are_read() -> None:
    with scraped_gateway() as url:
        result = run("key", "usage", "--metrics", url, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == [
        {
            "name": "alice",
            "requests": 3,
            "refused": 0,
            "compute_seconds": 0.5,
            "received_bytes": 0,
            "sent_bytes": 1234,
        }
    ]


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        ((), "expected --metrics", 2),
        (("--store", "http://host"), "expected redis://", 1),
        (("--store", "redis://127.0.0.1:1"), "cannot be read", 1),
        (("--metrics", "http://127.0.0.1:1/metrics"), "cannot be read", 1),
    ],
)
def test_where_there_is_no_usage_the_command_says_what_it_needs(
    arguments: tuple[str, ...], message: str, status: int
) -> None:
    result = run("key", "usage", *arguments)
    assert message in result.output
    assert result.exit_code == status
