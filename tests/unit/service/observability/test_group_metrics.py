from __future__ import annotations

import socket
from pathlib import Path

import pytest
from prometheus_client.exposition import generate_latest

from service.observability.gateway_metrics import Metrics
from service.observability.group_metrics import GroupMetrics, merge


def metrics_of(requests: int, wait: float, *, ready: bool = True) -> Metrics:
    metrics = Metrics()
    for _ in range(requests):
        metrics.observe_request("text", "sentiment", 200, 0.02)
    metrics.watch("wait_seconds", "Expected wait.", lambda: wait)
    metrics.watch("pending_requests", "Requests being worked on.", lambda: requests)
    metrics.set_ready(ready)
    return metrics


def value(text: str, sample: str) -> float:
    (line,) = [line for line in text.splitlines() if line.startswith(f"{sample} ")]
    return float(line.rpartition(" ")[2])


def test_counts_are_summed_and_states_are_the_worst_of_all(tmp_path: Path) -> None:
    each = [metrics_of(3, 0.5), metrics_of(4, 0.1, ready=False)]
    groups = [GroupMetrics(tmp_path, i, m.exposition) for i, m in enumerate(each)]
    for group in groups:
        group.start()
    for group in groups:
        text = generate_latest(group.registry).decode()
        labels = 'modality="text",task="sentiment"'
        assert (
            value(text, f'omnivec2_requests_total{{{labels[:15]},status="200",task="sentiment"}}')
            == 7
        )
        assert value(text, f"omnivec2_request_seconds_count{{{labels}}}") == 7
        assert value(text, "omnivec2_pending_requests") == 7
        assert value(text, "omnivec2_wait_seconds") == 0.5
        assert value(text, "omnivec2_ready") == 0
        assert text.count("# TYPE omnivec2_request_seconds histogram") == 1
    for group in groups:
        group.close()
        group.close()
    assert list(tmp_path.iterdir()) == []


def test_merged_metrics_of_one_process_are_its_own() -> None:
    own = metrics_of(2, 0.1).exposition().decode()
    families = {family.name: family for family in merge([own])}
    assert families["omnivec2_requests"].type == "counter"
    buckets = [s.value for s in families["omnivec2_request_seconds"].samples if "le" in s.labels]
    assert buckets == sorted(buckets)


def test_a_process_that_does_not_answer_is_left_out_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    group = GroupMetrics(tmp_path, 0, metrics_of(1, 0.1).exposition)
    group.start()
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(tmp_path / "1.sock"))
    assert value(generate_latest(group.registry).decode(), "omnivec2_pending_requests") == 1
    assert "the metrics of process 1 are missing" in caplog.text
    group.close()


def test_a_replacement_takes_the_place_of_a_process_that_was_killed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / "0.sock"))
    group = GroupMetrics(tmp_path, 0, metrics_of(5, 0.1).exposition)
    group.start()
    assert value(generate_latest(group.registry).decode(), "omnivec2_pending_requests") == 5
    group.close()
