"""Jobs from Python and from the command line, with a transport in the place of a service."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from omnivec2.errors import DeadlineExceededError, InvalidInputError, UndecodableError
from omnivec2_api import client as client_module
from omnivec2_api.answers.answer_types import Classification
from omnivec2_api.async_client import AsyncClient
from omnivec2_api.client import Client
from omnivec2_api.remote_jobs import JobCancelledError, JobProgress
from omnivec2_cli.main import app
from tests.support.model_repositories.tiny_models import tiny_heads

HEADS = [head.model_dump(mode="json") for head in tiny_heads()]
CAT = [{"label": "cat", "score": 0.75}]
ROUTE = "image/classification"


def document(state: str, done: int = 0, **members: Any) -> dict[str, Any]:
    return {"id": "x", "state": state, "progress": {"done": done, "total": 2}, **members}


DONE = document(
    "done",
    2,
    request_id="the job's",
    answer=CAT,
    models=[{"name": "image_classification", "version": "7"}],
    notes=[{"code": "cut", "text": "half of it", "count": 1}],
)
FAILED = document(
    "failed",
    status=422,
    problem={"type": "urn:omnivec2:problem:undecodable", "detail": "no picture", "field": "inputs"},
)


class Service:
    """Takes a job, shows it in the states given, and keeps the requests."""

    def __init__(self, *shown: dict[str, Any]) -> None:
        self.shown = list(shown)
        self.requests: list[httpx2.Request] = []
        self.is_busy = False

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/models":
            return httpx2.Response(200, json={"models": HEADS, "refused": []})
        self.requests.append(request)
        if request.method == "POST" and self.is_busy:
            self.is_busy = False
            return httpx2.Response(429, json={}, headers={"Retry-After": "0"})
        if request.method == "POST":
            headers = {"Location": "/jobs/x", "Retry-After": "0"}
            return httpx2.Response(202, json=document("queued"), headers=headers)
        if request.method == "DELETE":
            return httpx2.Response(200, json=document("cancelled"))
        shown = self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]
        return httpx2.Response(200, json=shown, headers={"Retry-After": "0.01"})

    def client(self) -> Client:
        return Client("http://service", transport=httpx2.MockTransport(self))

    def async_client(self) -> AsyncClient:
        return AsyncClient("http://service", transport=httpx2.MockTransport(self), retries=1)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "cat.png"
    path.write_bytes(b"a picture")
    return path


def test_a_file_is_sent_as_it_is_and_its_answer_waited_for(picture: Path) -> None:
    service = Service(document("running", 1), DONE)
    seen: list[JobProgress] = []
    with service.client() as client:
        job = client.start_job(ROUTE, picture, webhook="https://hooks.example/", strict=True)
        answer = job.wait(on_progress=seen.append)
    assert isinstance(answer, Classification)
    assert (answer.label, answer.version, answer.notes[0].code) == ("cat", "7", "cut")
    assert seen == [JobProgress("running", 1, 2), JobProgress("done", 2, 2)]
    request = service.requests[0]
    request.read()
    assert request.url.path == f"/predict/{ROUTE}"
    assert request.content == b"a picture"
    expected = {
        "prefer": "respond-async",
        "x-webhook": "https://hooks.example/",
        "x-strict": "true",
        "content-type": "image/png",
        "content-length": "9",
    }
    assert expected.items() <= dict(request.headers).items()


def test_a_file_with_parameters_is_sent_in_a_form(picture: Path) -> None:
    service = Service(DONE)
    with service.client() as client:
        client.start_job(ROUTE, picture, top_k=1)
        client.start_job(ROUTE, b"a picture")
    for request in service.requests:
        assert request.headers["content-type"].startswith("multipart/form-data")
        assert request.headers["prefer"] == "respond-async"


def test_a_job_that_failed_raises_the_error_of_a_request() -> None:
    with Service(FAILED).client() as client, pytest.raises(UndecodableError) as caught:
        client.job(ROUTE, "/jobs/x").wait()
    assert (str(caught.value), caught.value.field) == ("no picture", "inputs")


def test_a_job_may_be_cancelled() -> None:
    with Service(document("cancelled")).client() as client:
        job = client.job(ROUTE, "/jobs/x")
        assert job.cancel().state == "cancelled"
        assert job.progress().state == "cancelled"
        with pytest.raises(JobCancelledError):
            job.wait()


def test_the_wait_for_a_job_ends() -> None:
    with Service(document("running")).client() as client, pytest.raises(DeadlineExceededError):
        client.job(ROUTE, "/jobs/x").wait(0.05)


def test_the_asynchronous_client_has_jobs_too(picture: Path) -> None:
    async def main() -> None:
        service = Service(document("running", 1), DONE)
        service.is_busy = True
        seen: list[JobProgress] = []
        async with service.async_client() as client:
            job = await client.start_job(ROUTE, picture, webhook="https://hooks.example/")
            answer = await job.wait(on_progress=seen.append)
            assert isinstance(answer, Classification)
            assert (answer.label, answer.version, answer.request_id) == ("cat", "7", "the job's")
            assert seen == [JobProgress("running", 1, 2), JobProgress("done", 2, 2)]
            refused, taken, *_ = service.requests
            for request in (refused, taken):  # a file is read from its beginning each time
                assert await request.aread() == b"a picture"
                assert request.headers["content-length"] == "9"
                assert request.headers["content-type"] == "image/png"
                assert request.headers["x-webhook"] == "https://hooks.example/"
            again = client.job(ROUTE, job.location)
            assert (await again.progress()).state == "done"
            assert (await again.cancel()).state == "cancelled"
            await client.start_job(ROUTE, picture, top_k=1)
            form = service.requests[-1]
            assert form.headers["content-type"].startswith("multipart/form-data")
            with pytest.raises(InvalidInputError, match="No such file"):
                await client.start_job(ROUTE, picture.parent / "none.png")
        for shown, error in (
            (FAILED, UndecodableError),
            (document("cancelled"), JobCancelledError),
            (document("running"), DeadlineExceededError),
        ):
            async with Service(shown).async_client() as client:
                with pytest.raises(error):
                    await client.job(ROUTE, "/jobs/x").wait(0.05)

    asyncio.run(main())


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with Service(DONE).client() as client, pytest.raises(InvalidInputError, match="No such file"):
        client.start_job(ROUTE, tmp_path / "none.png")


def run_command(monkeypatch: pytest.MonkeyPatch, service: Service, *words: str) -> Any:
    transport = httpx2.MockTransport(service)
    monkeypatch.setattr(
        client_module, "Client", lambda url, **options: Client(url, transport=transport, **options)
    )
    return CliRunner().invoke(app, ["predict", ROUTE, *words, "--job"])


def test_the_command_line_waits_for_a_job(monkeypatch: pytest.MonkeyPatch, picture: Path) -> None:
    service = Service(document("running", 1), DONE)
    done = run_command(monkeypatch, service, str(picture), "--url", "http://service", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == CAT
    assert "half of it" in done.stderr
    shown = run_command(monkeypatch, Service(DONE), str(picture), "--url", "http://service")
    assert "cat" in shown.stdout


def test_an_interrupt_cancels_the_job(monkeypatch: pytest.MonkeyPatch, picture: Path) -> None:
    service = Service(document("running", 1))

    def interrupt(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("omnivec2_api.remote_jobs.RemoteJob.wait", interrupt)
    done = run_command(monkeypatch, service, str(picture), "--url", "http://service")
    assert done.exit_code != 0
    assert service.requests[-1].method == "DELETE"


@pytest.mark.parametrize("words", [[], ["--url", "http://service", "second.png"]])
def test_a_job_takes_one_file_and_a_service(
    monkeypatch: pytest.MonkeyPatch, picture: Path, words: list[str]
) -> None:
    done = run_command(monkeypatch, Service(DONE), str(picture), *words)
    assert done.exit_code != 0
    assert "--job takes one file" in done.output
