"""The HTTP contract over a real socket, against a server of tiny graphs."""

from __future__ import annotations

import base64
import http.client
import io
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.support.gateways.servers import RunningServer

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def client(tiny_server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=tiny_server.url, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def test_raw_json_and_form_get_the_same_answer(client: httpx.Client, jpeg: bytes) -> None:
    route = "/predict/image/classification"
    coded = base64.b64encode(jpeg).decode()
    answers = [
        client.post(route, content=jpeg, headers={"Content-Type": "image/jpeg"}),
        client.post(route, content=jpeg, headers={"Content-Type": "application/octet-stream"}),
        client.post(route, content=jpeg),
        client.post(route, json={"inputs": coded}),
        client.post(route, json={"inputs": f"data:image/jpeg;base64,{coded}"}),
        client.post(route, files={"file": ("cat.jpg", jpeg, "image/jpeg")}),
        client.post(route, files={"file": ("cat", jpeg)}),
    ]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert {answer.text for answer in answers} == {answers[0].text}
    assert set(answers[0].json()[0]) == {"label", "score"}


def test_a_list_gets_a_list_in_its_order(client: httpx.Client) -> None:
    texts = ["good", "bad film", "a longer sentence about nothing in particular", "good"]
    alone = [client.post("/predict/text/sentiment", json={"inputs": t}).json()[0] for t in texts]
    together = client.post("/predict/text/sentiment", json={"inputs": texts}).json()
    for one, other in zip(alone, together, strict=True):
        assert [row["label"] for row in one] == [row["label"] for row in other]
        np.testing.assert_allclose(
            [row["score"] for row in one], [row["score"] for row in other], rtol=1e-2
        )


def test_several_files_in_a_form_are_a_batch(client: httpx.Client, jpeg: bytes) -> None:
    files = [("file", ("a.jpg", jpeg, "image/jpeg"))] * 3
    answer = client.post(
        "/predict/image/classification", files=files, data={"parameters": '{"top_k": 1}'}
    ).json()
    assert [len(rows) for rows in answer] == [1, 1, 1]


def test_parameters_work_in_json_and_form(client: httpx.Client, jpeg: bytes) -> None:
    coded = base64.b64encode(jpeg).decode()
    body = {"inputs": coded, "parameters": {"threshold": 0.0}}
    in_json = client.post("/predict/image/detection", json=body)
    in_form = client.post(
        "/predict/image/detection",
        files={"file": jpeg},
        data={"parameters": json.dumps({"threshold": 0.0})},
    )
    assert in_json.json() == in_form.json()
    assert set(in_json.json()[0]) == {"label", "score", "box"}


def test_headers_name_request_model_and_stages(client: httpx.Client) -> None:
    answer = client.post(
        "/predict/text/sentiment", json={"inputs": "hi"}, headers={"X-Request-ID": "me-1"}
    )
    assert answer.headers["x-request-id"] == "me-1"
    assert answer.headers["x-model"] == "text_sentiment"
    assert answer.headers["x-model-version"] == "1"
    stages = [part.split(";dur=")[0] for part in answer.headers["server-timing"].split(", ")]
    assert stages == ["decode", "preprocess", "queue", "compute", "postprocess"]


def test_a_cube_of_many_pixels_is_mapped(client: httpx.Client) -> None:
    cube = np.random.default_rng(0).integers(0, 4000, (40, 50, 204)).astype(np.int16)
    buffer = io.BytesIO()
    np.save(buffer, cube)
    answer = client.post("/predict/hyperspectral/landcover", content=buffer.getvalue())
    assert answer.status_code == 200, answer.text
    mask = Image.open(io.BytesIO(base64.b64decode(answer.json()[0]["mask"])))
    assert mask.size == (50, 40)


def test_concurrent_requests_of_all_kinds_get_their_own_answers(
    client: httpx.Client, jpeg: bytes
) -> None:
    def ask(number: int) -> str:
        if number % 2:
            answer = client.post("/predict/image/classification", content=jpeg)
        else:
            answer = client.post("/predict/text/sentiment", json={"inputs": "good"})
        assert answer.status_code == 200
        return answer.json()[0][0]["label"] if number % 2 == 0 else answer.json()[0]["label"]

    with ThreadPoolExecutor(16) as pool:
        labels = list(pool.map(ask, range(200)))
    assert len(set(labels[::2])) == 1
    assert len(set(labels[1::2])) == 1


def test_an_overlong_body_is_refused_before_it_is_sent(tiny_server: RunningServer) -> None:
    address = urlsplit(tiny_server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=5)
    connection.putrequest("POST", "/predict/image/classification")
    connection.putheader("Content-Length", str(10**12))
    connection.putheader("Content-Type", "image/jpeg")
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413
    assert response.getheader("Content-Type") == PROBLEM
    connection.close()


def test_a_body_of_no_length_is_cut_off_at_the_limit(client: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 2**20

    answer = client.post("/predict/image/classification", content=endless())
    assert answer.status_code == 413


def test_a_caller_who_hangs_up_does_not_hurt_the_next(
    tiny_server: RunningServer, client: httpx.Client, jpeg: bytes
) -> None:
    address = urlsplit(tiny_server.url)
    head = (
        f"POST /predict/image/classification HTTP/1.1\r\nHost: x\r\n"
        f"Content-Length: {len(jpeg)}\r\n\r\n"
    ).encode()
    for cut in (0, len(jpeg) // 2, len(jpeg)):
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(head + jpeg[:cut])
    time.sleep(0.1)
    assert client.post("/predict/image/classification", content=jpeg).status_code == 200
    metrics = client.get("/metrics").text
    assert "omnivec2_pending_requests 0.0" in metrics
    assert 'status="500"' not in metrics


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/predict/text/sentiment", 405), ("DELETE", "/models", 405)],
)
def test_the_router_answers_with_problems_too(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == PROBLEM
    assert set(answer.json()) >= {"type", "title", "status", "detail", "instance", "error"}


def test_an_unknown_task_is_answered_with_the_known_ones(client: httpx.Client) -> None:
    problem = client.post("/predict/text/nonsense", content=b"x").json()
    assert "text/sentiment" in problem["known"]


def test_an_unknown_type_is_answered_with_the_known_ones(client: httpx.Client) -> None:
    answer = client.post(
        "/predict/image/classification", content=b"x", headers={"Content-Type": "text/html"}
    )
    assert answer.status_code == 415
    assert "image/jpeg" in answer.json()["known"]


def test_models_are_listed_and_described(client: httpx.Client) -> None:
    models = {model["name"]: model for model in client.get("/models").json()["models"]}
    assert models["image_detection"] == client.get("/models/image/detection").json()


def test_health_readiness_and_metrics_answer(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json()["refused"] == {}
    assert "omnivec2_requests_total" in client.get("/metrics").text


def test_the_documentation_needs_no_other_server(client: httpx.Client) -> None:
    page = client.get("/docs").text
    assert "https://" not in page.replace("https://validator.swagger.io", "")
    assert client.get("/static-offline-docs/swagger-ui-bundle.js").status_code == 200
    assert "/predict/text/sentiment" in client.get("/openapi.json").json()["paths"]


def test_the_examples_of_the_document_are_answered(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path, item in paths.items():
        if not path.startswith("/predict/"):
            continue
        example = item["post"]["requestBody"]["content"]["application/json"]["example"]
        query = {
            parameter["name"]: ",".join(parameter["example"])
            for parameter in item["post"]["parameters"]
            if parameter["in"] == "query" and "example" in parameter
        }
        answer = client.post(path, json=example, params=query)
        assert answer.status_code == 200, (path, answer.text)
