"""Both runtimes doubt the same inputs: what the trunk says of them comes with every answer."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import httpx

from export.repository.assembly import assemble
from export.repository.layouts import Layout
from loadtests.support.triton_server import running_triton
from omnivec2.training.familiarity.measure_reference import ReferenceMeasurement
from service.http.notes_header import parse_notes
from tests.support.checkpoints.tiny_exports import write_tiny_export
from tests.support.data_sets.device_data import HEAD, as_json, device_task, recordings
from tests.support.gateways.servers import running_server
from tests.support.requests.oip import json_body

LEVELS = (1.0, 9.0)


def far(url: str, level: float) -> list[object]:
    """The notes on a recording that say how far it is from the training data."""
    body = {"inputs": as_json(level)}
    answer = httpx.post(f"{url}/predict/{HEAD.route}", json=body, timeout=60).raise_for_status()
    notes = parse_notes(answer.headers.get("X-Notes", ""))
    return [note for note in notes if note["code"] == "far_from_training"]


def noted_elsewhere(url: str, level: float) -> dict[str, list[object]]:
    """The same notes in a stream, of a job and on tensors; their codes."""
    body = {"inputs": as_json(level)}
    route = f"{url}/predict/{HEAD.route}"
    with httpx.Client(timeout=60) as client:
        streamed = client.post(route, json=body, headers={"Accept": "text/event-stream"})
        (last,) = re.findall("event: answer\n.*\ndata: (.*)\n", streamed.text)
        by_stream = parse_notes(json.loads(last)["headers"].get("x-notes", ""))
        job = client.post(route, json=body, headers={"Prefer": "respond-async"})
        assert job.status_code == 202, job.text

        end = time.monotonic() + 60
        while "answer" not in (document := client.get(f"{url}{job.headers['Location']}").json()):
            assert time.monotonic() < end, document
            time.sleep(0.02)
        by_job = document.get("notes", [])
        signal = recordings(1, 5, level).samples[0]["signal"][None]
        infer = f"{url}/v2/models/{HEAD.name}/infer"
        tensors = client.post(infer, content=json_body({"signal": signal})).raise_for_status()
    by_tensors = parse_notes(tensors.headers.get("X-Notes", ""))
    found = {"stream": by_stream, "job": by_job, "tensors": by_tensors}
    return {
        way: [note["code"] for note in notes if note["code"] == "far_from_training"]
        for way, notes in found.items()
    }


def test_both_runtimes_doubt_the_same_inputs(tmp_path: Path) -> None:
    checkpoint = write_tiny_export(tmp_path / "checkpoint", [HEAD], f_mean=True)
    repository = tmp_path / "repository"
    assemble(checkpoint, repository, Layout.SHARED)
    task = device_task()
    measurement = ReferenceMeasurement(checkpoint, repository, tmp_path, load=lambda _: task)
    measurement.fit(HEAD, lambda _: None)
    assemble(checkpoint, repository, Layout.SHARED)
    options = ("--checkpoint", str(checkpoint), "--model-repo", str(repository))
    jobs = {"jobs_store": "sqlite", "jobs_dir": tmp_path / "jobs"}
    with running_server(*options, settings=jobs) as embedded:
        known, strange = (far(embedded.url, level) for level in LEVELS)
        elsewhere = [noted_elsewhere(embedded.url, level) for level in LEVELS]
    assert (len(known), len(strange)) == (0, 1)
    for ways, codes in zip(elsewhere, ([], ["far_from_training"]), strict=True):
        assert ways == dict.fromkeys(("stream", "job", "tensors"), codes)
    with running_triton(repository) as triton, running_server("--triton", triton.grpc) as gateway:
        assert [far(gateway.url, level) for level in LEVELS] == [known, strange]
