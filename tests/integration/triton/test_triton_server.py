"""A real Triton server over small graphs: its answers are what the graphs compute."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from loadtests.support.triton_server import TritonServer, running_triton
from omnivec2.arrays import Array
from tests.support.model_repositories.tiny_models import tiny_heads, write_model, write_repository
from tests.support.triton.triton_models import (
    KINDS_CONFIG,
    KINDS_GRAPH,
    PICKY_CONFIG,
    PICKY_GRAPH,
    vouch,
    write_plain,
)

HEADS = {head.name: head for head in tiny_heads()}
SERVED = [
    "text_sentiment",  # a dynamic length
    "graph_solubility",  # several, of different names
    "image_segmentation",
    "depth_action",
    "pointcloud_classification",
    "tabular_income",
    "imu_activity",
]
CLIENTS = 8
LENGTHS = {"nodes": 7, "node_ids": 7, "node_mask": 7, "edges": 12, "edge_features": 12}
LENGTHS |= {"edge_mask": 12, "input_ids": 9, "token_type_ids": 9, "attention_mask": 9}


def _truncated(model: Path) -> None:
    graph = model / "1" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])


def _truncated_but_vouched_for(model: Path) -> None:
    _truncated(model)
    vouch(model / "1", model.name)


def _passport_of_another(model: Path) -> None:
    path = model / "1" / "passport.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": "text_topic"}))


def _no_passport(model: Path) -> None:
    (model / "1" / "passport.json").unlink()


def _other_weights(model: Path) -> None:
    (model / "1" / "weights.safetensors").write_bytes(b"other weights")


# Model -> (how it is spoilt, what Triton must say of it).
SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "image_classification": (_truncated, "model.onnx is not the file its passport was written for"),
    "image_detection": (_truncated_but_vouched_for, "Protobuf parsing failed"),
    "image_embedding": (_other_weights, "weights.safetensors is not the file its passport"),
    "text_paraphrase": (_passport_of_another, "is the passport of text_topic"),
    "xray_pneumonia": (_no_passport, "passport.json is not a readable passport"),
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("triton")
    write_repository(root, [HEADS[name] for name in SERVED])
    write_plain(root, "kinds", KINDS_GRAPH, KINDS_CONFIG)
    write_plain(root, "picky", PICKY_GRAPH, PICKY_CONFIG)
    for name, (spoil, _) in SPOILT.items():
        spoil(write_model(root, HEADS[name]))
    return root


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[TritonServer]:
    with running_triton(repository) as running:
        yield running


@pytest.fixture
def client(server: TritonServer) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(server.grpc) as connected:
        yield connected


def infer(
    client: InferenceServerClient, model: str, inputs: Mapping[str, Array], *outputs: str
) -> dict[str, Array]:
    """Run a model, and return some of its outputs, or all."""
    sent = []
    for name, array in inputs.items():
        sent.append(InferInput(name, array.shape, np_to_triton_dtype(array.dtype)))
        sent[-1].set_data_from_numpy(array)
    wanted = [InferRequestedOutput(name) for name in outputs] or None
    result = client.infer(model, sent, outputs=wanted)
    return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}


def make_inputs(model: str, rows: int, seed: int = 0) -> dict[str, Array]:
    """Return random inputs of a tiny head."""
    random = np.random.default_rng(seed)
    return {
        tensor.name: random.integers(
            0, 100, [rows, *(LENGTHS[tensor.name] if n < 0 else n for n in tensor.shape)]
        ).astype(tensor.dtype)
        for tensor in HEADS[model].inputs
    }


def local(repository: Path, model: str) -> ort.InferenceSession:
    """Load the graph of a model in this process."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(repository / model / "1" / "model.onnx"), options)


def expected(session: ort.InferenceSession, inputs: Mapping[str, Array]) -> dict[str, Array]:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def assert_same(got: Mapping[str, Array], wanted: Mapping[str, Array]) -> None:
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("model", SERVED)
def test_values_are_those_of_the_graph(
    client: InferenceServerClient, repository: Path, model: str, rows: int
) -> None:
    inputs = make_inputs(model, rows)
    wanted = expected(local(repository, model), inputs)
    assert all(np.ptp(array) > 0 for array in wanted.values() if array.size > 1)
    assert_same(infer(client, model, inputs), wanted)


def test_lengths_may_differ_from_request_to_request(
    client: InferenceServerClient, repository: Path
) -> None:
    session = local(repository, "text_sentiment")
    for length in (1, 3, 128):
        inputs = {
            name: array.repeat(length, axis=1)
            for name, array in make_inputs("text_sentiment", 2, seed=length).items()
        }
        assert_same(infer(client, "text_sentiment", inputs), expected(session, inputs))


def test_concurrent_requests_of_different_row_counts_get_their_own_rows_from_shared_batches(
    server: TritonServer, client: InferenceServerClient, repository: Path
) -> None:
    session = local(repository, "tabular_income")
    before = statistics(client, "tabular_income")

    def ask(worker: int) -> None:
        with InferenceServerClient(server.grpc) as own:
            for turn in range(20):
                inputs = make_inputs("tabular_income", 1 + (worker + turn) % 4, 100 * worker + turn)
                assert_same(infer(own, "tabular_income", inputs), expected(session, inputs))

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, range(CLIENTS)))
    after = statistics(client, "tabular_income")
    requests = after.inference_stats.success.count - before.inference_stats.success.count
    assert requests == 20 * CLIENTS
    assert after.execution_count - before.execution_count < requests


def statistics(client: InferenceServerClient, model: str) -> Any:
    return client.get_inference_statistics(model).model_stats[0]


def test_only_the_outputs_that_are_asked_for_come_back(client: InferenceServerClient) -> None:
    inputs = {"flags": np.ones((1, 2), bool), "count": np.ones((1, 1), np.int64)}
    inputs["half"] = np.ones((1, 3), np.float16)
    assert infer(client, "kinds", inputs, "twice").keys() == {"twice"}
    assert infer(client, "kinds", inputs, "total", "negated").keys() == {"total", "negated"}
    assert infer(client, "kinds", inputs).keys() == {"total", "negated", "twice"}


@pytest.mark.parametrize("rows", [1, 3])
def test_booleans_integers_halves_and_scalars_per_row_keep_their_values(
    client: InferenceServerClient, rows: int
) -> None:
    random = np.random.default_rng(rows)
    flags = random.integers(0, 2, (rows, 2)).astype(bool)
    count = random.integers(-(2**60), 2**60, (rows, 1))
    half = random.integers(-9, 9, (rows, 5)).astype(np.float16)
    got = infer(client, "kinds", {"flags": flags, "count": count, "half": half})
    assert (got["negated"] == ~flags).all()
    assert (got["twice"] == 2 * count).all()
    assert (got["total"] == half.sum(axis=1, keepdims=True)).all()
    assert got["negated"].dtype == bool
    assert got["twice"].dtype == np.int64


def test_an_error_of_the_graph_is_the_answer_to_that_request_and_to_no_other(
    client: InferenceServerClient,
) -> None:
    with pytest.raises(InferenceServerException, match=r"the engine failed: .*out of data bounds"):
        infer(client, "picky", {"index": np.array([[7]], np.int32)})
    good = infer(client, "picky", {"index": np.array([[2]], np.int32)})
    assert good["value"].tolist() == [[3.5]]


@pytest.mark.parametrize("name", SPOILT)
def test_a_model_that_is_not_what_its_passport_says_is_unavailable_and_the_reason_is_told(
    server: TritonServer, name: str
) -> None:
    entry = server.models()[name]
    assert entry["state"] == "UNAVAILABLE"
    assert SPOILT[name][1] in entry["reason"]
    assert name in entry["reason"]


def test_models_beside_spoilt_ones_are_served_and_the_server_is_ready(
    server: TritonServer, client: InferenceServerClient
) -> None:
    assert server.is_ready()
    ready = {name for name, entry in server.models().items() if entry.get("state") == "READY"}
    assert ready == {*SERVED, "kinds", "picky"}
    assert all(client.is_model_ready(name) for name in ready)
    assert not any(client.is_model_ready(name) for name in SPOILT)


def test_warm_up_requests_run_before_a_model_is_ready(tmp_path: Path) -> None:
    write_plain(tmp_path, "kinds", KINDS_GRAPH, KINDS_CONFIG)
    with running_triton(tmp_path) as server, InferenceServerClient(server.grpc) as client:
        batches = statistics(client, "kinds").batch_stats
        assert {b.batch_size: b.compute_infer.count for b in batches} == {1: 1, 8: 2}


def test_a_killed_server_starts_again_on_its_ports(
    tmp_path: Path,
) -> None:
    write_plain(tmp_path, "picky", PICKY_GRAPH, PICKY_CONFIG)
    with running_triton(tmp_path) as server:
        server.kill()
        assert not server.is_ready()
        server.start()
        with InferenceServerClient(server.grpc) as client:
            good = infer(client, "picky", {"index": np.array([[0]], np.int32)})
        assert good["value"].tolist() == [[1.5]]


def test_in_explicit_mode_only_the_named_models_are_loaded_and_more_can_be(
    repository: Path,
) -> None:
    options = ("--model-control-mode", "explicit", "--load-model", "picky")
    with (
        running_triton(repository, *options) as server,
        InferenceServerClient(server.grpc) as client,
    ):
        assert client.is_model_ready("picky")
        assert not client.is_model_ready("imu_activity")
        client.load_model("imu_activity")
        assert client.is_model_ready("imu_activity")
        client.unload_model("picky")
        with pytest.raises(InferenceServerException):
            infer(client, "picky", {"index": np.array([[0]], np.int32)})
