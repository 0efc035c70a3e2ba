"""Triton's own clients against a real gateway, and the documented examples that bring tensors."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

from export.repository.assembly import assemble
from loadtests.support.triton_server import running_triton
from tests.support.documents import ROOT, TENSOR_ADDRESSES, Example, examples
from tests.support.gateways.servers import RunningServer, running_server
from tests.support.model_repositories.tiny_models import classification, write_repository
from tests.support.triton.small_repositories import keep_models, keep_one_instance

Arrays = Mapping[str, np.ndarray]

EXAMPLES = examples(ROOT / "docs" / "http-api.md", "run tensors")


@pytest.fixture(scope="module", params=["gateway", "triton"])
def tensor_addresses(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """(HTTP, gRPC) of a gateway of the network that ships, and of Triton with the heads asked."""
    if request.param == "gateway":
        yield _addresses(request.getfixturevalue("reference"))
        return
    repository = tmp_path_factory.mktemp("tensors") / "repository"
    assemble(ROOT / "checkpoints" / "reference", repository)
    asked = {name for example in EXAMPLES for name in re.findall(r'infer\("(\w+)"', example.code)}
    with running_triton(keep_one_instance(keep_models(repository, asked))) as triton:
        yield triton.http.removeprefix("http://"), triton.grpc


def _addresses(server: RunningServer) -> tuple[str, str]:
    return server.url.removeprefix("http://"), server.grpc_address


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
def test_a_documented_example_of_tensors_runs(
    example: Example, tensor_addresses: tuple[str, str]
) -> None:
    code = example.code
    assert any(address in code for address in TENSOR_ADDRESSES)
    for printed, real in zip(TENSOR_ADDRESSES, tensor_addresses, strict=True):
        code = code.replace(printed, real)
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "[[" in done.stdout


def test_both_ways_have_an_example() -> None:
    modules = ("tritonclient.http", "tritonclient.grpc")
    assert [module in e.code for module, e in zip(modules, EXAMPLES, strict=True)] == [True, True]


class Caller:
    """One of Triton's clients; the two differ in names and in what metadata are."""

    def __init__(self, module: ModuleType, address: str) -> None:
        self.module = module
        self.client = module.InferenceServerClient(address)
        self.as_json = {"as_json": True} if module is tritonclient.grpc else {}

    def metadata(self, model: str, **options: Any) -> dict[str, Any]:
        return self.client.get_model_metadata(model, **options, **self.as_json)

    def infer(self, model: str, arrays: Arrays, **options: Any) -> Any:
        inputs = []
        for name, array in arrays.items():
            datatype = np_to_triton_dtype(array.dtype)
            inputs.append(self.module.InferInput(name, list(array.shape), datatype))
            inputs[-1].set_data_from_numpy(array)
        return self.client.infer(model, inputs, **options)

    def zeros(self, model: str, rows: int = 1, length: int = 5) -> dict[str, np.ndarray]:
        return {
            tensor["name"]: np.zeros(
                (rows, *(length if int(n) < 0 else int(n) for n in tensor["shape"][1:])),
                triton_to_np_dtype(tensor["datatype"]),
            )
            for tensor in self.metadata(model)["inputs"]
        }


@pytest.fixture(scope="module", params=["http", "grpc"])
def way(request: pytest.FixtureRequest) -> int:
    return ["http", "grpc"].index(request.param)


def _caller(server: RunningServer, way: int) -> Caller:
    return Caller((tritonclient.http, tritonclient.grpc)[way], _addresses(server)[way])


@pytest.fixture(scope="module")
def caller(tiny_server: RunningServer, way: int) -> Iterator[Caller]:
    made = _caller(tiny_server, way)
    yield made
    made.client.close()


@pytest.fixture(scope="module")
def reference_caller(reference: RunningServer, way: int) -> Iterator[Caller]:
    made = _caller(reference, way)
    yield made
    made.client.close()


def status(error: InferenceServerException) -> str:
    return str(error.status()).removeprefix("StatusCode.")


def test_health_and_metadata_are_what_the_clients_expect(caller: Caller) -> None:
    assert caller.client.is_server_live()
    assert caller.client.is_server_ready()
    assert caller.client.is_model_ready("text_sentiment")
    assert caller.client.is_model_ready("text_sentiment", "1")
    assert not caller.client.is_model_ready("text_sentiment", "2")
    assert not caller.client.is_model_ready("text_other")
    server = caller.client.get_server_metadata(**caller.as_json)
    assert "binary_tensor_data" in server["extensions"]
    config = caller.client.get_model_config("image_embedding", **caller.as_json)
    config = config.get("config", config)
    assert config["max_batch_size"] == 32
    assert [int(n) for n in config["output"][0]["dims"]] == [16]


def test_every_loaded_model_answers_zeros_in_the_shapes_it_names(
    caller: Caller, tiny_server: RunningServer
) -> None:
    models = httpx.get(f"{tiny_server.url}/models", timeout=10).json()["models"]
    assert len(models) > 10
    for name in (model["name"] for model in models):
        answer = caller.infer(name, caller.zeros(name, rows=3), request_id=name)
        for output in caller.metadata(name)["outputs"]:
            array = answer.as_numpy(output["name"])
            assert array.shape == (3, *map(int, output["shape"][1:]))
        assert answer.get_response(**caller.as_json)["id"] == name


def test_tensors_get_the_answer_that_predict_gives_to_the_same_input(
    reference_caller: Caller, reference_server: str
) -> None:
    ids = np.array([[101, 2204, 2143, 102]], np.int32)
    tensors = {"input_ids": ids, "token_type_ids": ids * 0, "attention_mask": ids * 0 + 1}
    logits = reference_caller.infer("text_sentiment", tensors).as_numpy("logits")[0]
    spec = json.loads((ROOT / "model_repo/text_sentiment/head_spec.json").read_text())
    assert spec["temperature"] > 1, "tensors are the network's own, before the temperature"
    scores = np.exp(logits / spec["temperature"])
    scores /= scores.sum()
    asked = {"inputs": "good film", "parameters": {"top_k": 1}}
    [[best]] = httpx.post(f"{reference_server}/predict/text/sentiment", json=asked).json()
    assert best["score"] == pytest.approx(scores.max(), abs=1e-4)


def test_json_values_give_the_same_answer_as_raw_ones(tiny_server: RunningServer) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1, 96, 96, 3), np.uint8)
    with tritonclient.http.InferenceServerClient(_addresses(tiny_server)[0]) as client:
        answers = []
        for binary in (True, False):
            one = tritonclient.http.InferInput("pixels", pixels.shape, "UINT8")
            one.set_data_from_numpy(pixels, binary_data=binary)
            wanted = tritonclient.http.InferRequestedOutput("logits", binary_data=not binary)
            answer = client.infer("image_classification", [one], outputs=[wanted])
            answers.append(answer.as_numpy("logits"))
    np.testing.assert_array_equal(*answers)


BAD_VALUES: Mapping[str, tuple[str, str, Any]] = {
    "a token outside of the vocabulary": ("text_sentiment", "input_ids", 10**6),
    "a token far below zero": ("text_sentiment", "input_ids", -(2**31)),
    "a third segment": ("text_sentiment", "token_type_ids", 7),
    "an atom that is none": ("graph_solubility", "nodes", 10**6),
    "an edge to no node": ("graph_solubility", "edges", 99),
    "a bond that is none": ("graph_solubility", "edge_features", 10**6),
    "a category that is none": ("tabular_income", "categories", 2**31 - 1),
    "a number that is none": ("tabular_income", "numbers", np.nan),
    "numbers without end": ("timeseries_forecast", "values", np.inf),
    "nothing to attend to": ("text_sentiment", "attention_mask", 0),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_values_the_network_cannot_take_are_the_callers_fault(
    reference_caller: Caller, case: str
) -> None:
    model, tensor, value = BAD_VALUES[case]
    arrays = reference_caller.zeros(model)
    arrays[tensor][...] = value
    with pytest.raises(InferenceServerException, match=r"cannot take|no finite") as caught:
        reference_caller.infer(model, arrays)
    assert status(caught.value) in ("422", "INVALID_ARGUMENT")


def test_axes_that_belong_together_but_differ_are_the_callers_fault(
    reference_caller: Caller,
) -> None:
    arrays = reference_caller.zeros("text_sentiment")
    arrays["attention_mask"] = np.ones((1, 7), np.int32)
    with pytest.raises(InferenceServerException, match="differ in length") as caught:
        reference_caller.infer("text_sentiment", arrays)
    assert status(caught.value) in ("422", "INVALID_ARGUMENT")


def test_impossible_values_do_not_harm_the_requests_they_meet(reference: RunningServer) -> None:
    caller = _caller(reference, 1)
    good, bad = (caller.zeros("tabular_income") for _ in range(2))
    bad["categories"][...] = 10**6

    def ask(number: int) -> str:
        try:
            caller.infer("tabular_income", bad if number % 3 == 0 else good)
        except InferenceServerException as error:
            return status(error)
        return "OK"

    def ask_until_admitted(number: int) -> str:
        """Ask again where a slow machine has no room for so many at once, as clients do."""
        for _ in range(100):
            if (seen := ask(number)) != "RESOURCE_EXHAUSTED":
                break
            time.sleep(0.1)
        return seen

    with ThreadPoolExecutor(12) as pool:
        results = list(pool.map(ask_until_admitted, range(60)))
    caller.client.close()
    assert results == ["OK" if number % 3 else "INVALID_ARGUMENT" for number in range(60)]


def test_wrong_tensors_are_named(caller: Caller) -> None:
    good = caller.zeros("text_sentiment")
    wrong: list[tuple[Arrays, str]] = [
        ({**good, "extra": good["input_ids"]}, "extra"),
        ({"input_ids": good["input_ids"]}, "token_type_ids"),
        ({**good, "input_ids": good["input_ids"].astype(np.int64)}, "expected INT32"),
        ({**good, "input_ids": good["input_ids"][0]}, "shape"),
        ({name: np.repeat(a, 33, 0) for name, a in good.items()}, "at most 32"),
        ({name: np.repeat(a, 100, 1) for name, a in good.items()}, "longer than 256"),
    ]
    for arrays, message in wrong:
        with pytest.raises(InferenceServerException, match=message) as caught:
            caller.infer("text_sentiment", arrays)
        assert status(caught.value) in ("413", "422", "INVALID_ARGUMENT")


def test_what_belongs_to_triton_alone_is_refused(caller: Caller) -> None:
    client = caller.client
    for call in (
        client.get_model_repository_index,
        client.get_inference_statistics,
        client.get_log_settings,
        client.get_trace_settings,
        client.get_system_shared_memory_status,
        lambda: client.load_model("text_sentiment"),
        lambda: client.unload_model("text_sentiment"),
    ):
        with pytest.raises(InferenceServerException) as caught:
            call()
        assert status(caught.value) in ("404", "UNIMPLEMENTED")
    assert client.is_model_ready("text_sentiment")


def test_a_callers_deadline_over_grpc_is_kept(tiny_server: RunningServer) -> None:
    caller = _caller(tiny_server, 1)
    started = time.monotonic()
    with pytest.raises(InferenceServerException, match=r"DEADLINE_EXCEEDED|Deadline"):
        caller.infer("video_action", caller.zeros("video_action", 32), client_timeout=1e-4)
    assert time.monotonic() - started < 5
    caller.client.close()


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A gateway that takes small messages only."""
    heads = [classification("image/classification", "cat", "dog")]
    root = write_repository(tmp_path_factory.mktemp("narrow"), heads)
    options = ("--model-repo", str(root), "--checkpoint", "none", "--grpc-port", "0")
    with running_server(*options, settings={"max_body_bytes": 50_000}) as server:
        yield server


def test_a_body_over_the_limit_is_refused_both_ways(narrow: RunningServer) -> None:
    for number, code in ((0, "413"), (1, "RESOURCE_EXHAUSTED")):
        caller = _caller(narrow, number)
        caller.infer("image_classification", caller.zeros("image_classification", 1))
        with pytest.raises(InferenceServerException) as caught:
            caller.infer("image_classification", caller.zeros("image_classification", 2))
        assert status(caught.value) == code
        caller.client.close()


def test_bytes_that_are_no_message_are_refused(tiny_server: RunningServer) -> None:
    with grpc.insecure_channel(tiny_server.grpc_address) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        random = np.random.default_rng(3)
        codes = set()
        for size in random.integers(0, 200, 200):
            with pytest.raises(grpc.RpcError) as caught:
                call(random.bytes(int(size)), timeout=10)
            codes.add(caught.value.code().name)
    # Nothing at all is a request for no model.
    assert codes == {"NOT_FOUND", "INVALID_ARGUMENT"}


def test_calls_over_grpc_are_counted_like_any_other(tiny_server: RunningServer) -> None:
    caller = _caller(tiny_server, 1)
    caller.infer("imu_activity", caller.zeros("imu_activity"))
    caller.client.close()
    metrics = httpx.get(f"{tiny_server.url}/metrics", timeout=10).text
    assert 'omnivec2_requests_total{modality="imu",status="200",task="activity"}' in metrics


def test_a_port_that_is_taken_ends_the_command_with_its_reason(
    embedded_tiny: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    heads = [classification("text/sentiment", "no", "yes")]
    root = write_repository(tmp_path_factory.mktemp("taken"), heads)
    port = embedded_tiny.grpc_address.rpartition(":")[2]
    options = ("--model-repo", str(root), "--checkpoint", "none", "--grpc-port", port)
    with pytest.raises(AssertionError, match="cannot listen on"), running_server(*options):
        pass
