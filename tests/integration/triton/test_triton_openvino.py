"""The network that ships in Triton's openvino backend, from the configuration for NVIDIA's."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import onnxruntime as ort
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import np_to_triton_dtype

from export.repository.assembly import assemble
from export.repository.layouts import Layout
from export.repository.triton_options import TritonOptions
from loadtests.support.triton_server import TritonServer, running_triton
from omnivec2.arrays import Array
from omnivec2.passport import GRAPH_FILE
from tests.support.checkpoints.exported import REFERENCE
from tests.support.documents import ROOT
from tests.support.gateways.servers import running_server

PICTURE, REVIEW = "image_classification", "text_sentiment"
CHAIN = ("tokenizer_image", "trunk", "head_image_classification")
CLOSE = 0.05
"""OpenVINO computes in bf16 where the processor has it, and the backend has no option for fp32."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("openvino")
    assemble(REFERENCE, out, Layout.SHARED, TritonOptions(backend="openvino"))
    return out


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[TritonServer]:
    loaded = [option for name in (PICTURE, REVIEW) for option in ("--load-model", name)]
    with running_triton(repository, "--model-control-mode", "explicit", *loaded) as running:
        yield running


def ask(server: TritonServer, pixels: Array) -> Array:
    """Run pictures through the ensemble."""
    sent = InferInput("pixels", pixels.shape, np_to_triton_dtype(pixels.dtype))
    sent.set_data_from_numpy(pixels)
    with InferenceServerClient(server.grpc) as client:
        return client.infer(PICTURE, [sent]).as_numpy("logits")


def expected(repository: Path, pixels: Array) -> Array:
    """What the same parts answer in ONNX Runtime, in float32."""
    tensors = {"pixels": pixels}
    for part in CHAIN:
        session = ort.InferenceSession(repository / part / "1" / GRAPH_FILE)
        given = {node.name: tensors[node.name] for node in session.get_inputs()}
        names = [node.name for node in session.get_outputs()]
        tensors |= dict(zip(names, session.run(names, given), strict=True))
    return tensors["logits"]


@pytest.mark.parametrize("rows", [1, 3, 32])
def test_any_number_of_rows_is_answered_like_the_network(
    server: TritonServer, repository: Path, rows: int
) -> None:
    pixels = np.random.default_rng(rows).integers(0, 255, (rows, 96, 96, 3), np.uint8)
    answers, wanted = ask(server, pixels), expected(repository, pixels)
    assert answers.shape == wanted.shape == (rows, 10)
    assert np.abs(answers - wanted).max() < CLOSE * np.abs(wanted).max()


def test_concurrent_requests_of_different_sizes_get_their_own_answers(
    server: TritonServer, repository: Path
) -> None:
    random = np.random.default_rng(9)
    pictures = [random.integers(0, 255, (rows, 96, 96, 3), np.uint8) for rows in (1, 2, 1, 4, 3, 1)]
    with ThreadPoolExecutor(len(pictures)) as pool:
        answers = list(pool.map(lambda pixels: ask(server, pixels), pictures))
    for pixels, answer in zip(pictures, answers, strict=True):
        wanted = expected(repository, pixels)
        assert np.abs(answer - wanted).max() < CLOSE * np.abs(wanted).max()


def test_the_gateway_serves_it_like_any_other_triton(server: TritonServer) -> None:
    samples = ROOT / "service" / "static" / "samples"
    with (
        running_server("--triton", server.grpc) as gateway,
        httpx.Client(base_url=gateway.url, timeout=60) as client,
    ):
        picture = client.post(
            "/predict/image/classification", content=(samples / "cat.jpg").read_bytes()
        )
        assert picture.status_code == 200
        assert picture.json()[0]["label"] == "cat"
        review = client.post("/predict/text/sentiment", json={"inputs": ["a delight", "a bore"]})
        assert [answers[0]["label"] for answers in review.json()] == ["positive", "negative"]
