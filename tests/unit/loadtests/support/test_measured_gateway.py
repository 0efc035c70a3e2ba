"""Figures of a measurement and the report they are written to."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from loadtests.support.measured_gateway import (
    REPORTS,
    HttpClient,
    Load,
    closed_loop,
    hardware,
    median,
    report_parser,
    write_report,
)


def test_a_percentile_is_the_latency_that_so_many_answers_stayed_below() -> None:
    load = Load(rate=10.0, seconds=[0.003, 0.001, 0.002, 0.004])
    assert [load.percentile_ms(percent) for percent in (0, 50, 99, 100)] == [1, 3, 4, 4]


def test_one_disturbed_round_has_no_effect_on_the_median() -> None:
    assert median([1.0, 2.0, 500.0]) == 2.0


def test_measurements_say_what_they_do_and_where_their_report_goes() -> None:
    parser = report_parser("Measures.\n\n    python -m loadtests.it")
    assert "\n    python -m loadtests.it\n" in parser.format_help()
    assert parser.parse_args([]).reports == REPORTS
    assert parser.parse_args(["--reports", "here"]).reports == Path("here")


def test_clients_send_until_the_time_is_over() -> None:
    sent = 0

    async def send() -> None:
        nonlocal sent
        sent += 1
        await asyncio.sleep(0.005)

    load = asyncio.run(closed_loop([send, send], seconds=0.05))
    assert len(load.seconds) == sent >= 4
    assert load.rate > 0
    assert min(load.seconds) >= 0.004


def test_a_report_names_measurement_hardware_and_versions(tmp_path: Path) -> None:
    path = write_report(tmp_path / "reports", "memory", {"mb": 7})
    assert path.name.startswith(f"memory_{hardware()}_")
    content = json.loads(path.read_text())
    assert content["mb"] == 7
    assert {"omnivec2-serve", "onnxruntime", "python"} <= content["versions"].keys()


@pytest.mark.parametrize("status", [b"200 OK", b"503 No"])
def test_a_client_keeps_its_connection_and_fails_with_what_is_no_answer(status: bytes) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.read(2**16):
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: 3\r\n\r\nwhy" % status)
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            client = HttpClient(server.sockets[0].getsockname()[1], "/a", b"body", "text/plain")
            try:
                for _ in range(3):
                    await client.send()
            finally:
                client.close()
                await asyncio.sleep(0.02)

    if status.startswith(b"200"):
        asyncio.run(main())
    else:
        with pytest.raises(RuntimeError, match=r"503.*why"):
            asyncio.run(main())
    assert connections == 1
