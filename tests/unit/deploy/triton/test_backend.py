"""Triton's Python-based backends, with Triton's side of them replaced."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

MODEL = Path(__file__).resolve().parents[4] / "deploy/triton/graph_backend.py"


@dataclass
class Tensor:
    name: str
    array: np.ndarray

    def as_numpy(self) -> np.ndarray:
        return self.array


@dataclass
class Response:
    tensors: list[Tensor] = field(default_factory=list)
    error: Any = None


class TritonError:
    def __init__(self, message: str) -> None:
        self.message = message


@dataclass
class Request:
    inputs: dict[str, np.ndarray]

    def requested_output_names(self) -> list[str]:
        return ["sum"]


class Session:
    """Sums the rows of ``x``; refuses rows of seven."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []

    def run(self, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert names == ["sum"]
        self.batches.append(inputs["x"].shape)
        if inputs["x"].shape[1] == 7:
            raise RuntimeError("no sevens")
        return [inputs["x"].sum(axis=1)]


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def model(session: Session, monkeypatch: pytest.MonkeyPatch) -> Any:
    utilities = ModuleType("triton_python_backend_utils")
    stand_ins = SimpleNamespace(
        Tensor=Tensor,
        InferenceResponse=Response,
        TritonError=TritonError,
        get_input_tensor_by_name=lambda request, name: Tensor(name, request.inputs[name]),
    )
    vars(utilities).update(vars(stand_ins))
    monkeypatch.setitem(sys.modules, utilities.__name__, utilities)
    spec = importlib.util.spec_from_file_location("graph_backend", MODEL)
    assert spec is not None
    assert spec.loader is not None
    monkeypatch.setattr(np, "__version__", "1.26.4")  # the real one is that of Triton's Python
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded = module.TritonPythonModel()
    loaded._run_graph, loaded._inputs, loaded._joins = session.run, ["x"], True
    return loaded


def ask(*shapes: tuple[int, int]) -> list[Request]:
    return [
        Request({"x": np.full(shape, index + 1, np.float32)}) for index, shape in enumerate(shapes)
    ]


def test_requests_of_one_shape_are_one_run(model: Any, session: Session) -> None:
    responses = model.execute(ask((1, 3), (2, 3)))
    assert session.batches == [(3, 3)]
    assert [r.tensors[0].array.tolist() for r in responses] == [[3.0], [6.0, 6.0]]


def test_requests_that_triton_mixed_up_are_answered_shape_by_shape(
    model: Any, session: Session
) -> None:
    responses = model.execute(ask((1, 3), (1, 5), (1, 3)))
    assert session.batches == [(2, 3), (1, 5)]
    assert [r.tensors[0].array.tolist() for r in responses] == [[3.0], [10.0], [9.0]]


def test_each_request_that_fails_gets_an_error_of_its_own_and_the_others_answers(
    model: Any,
) -> None:
    first, second, good = model.execute(ask((1, 7), (1, 7), (1, 2)))
    assert first.error.message == second.error.message == "the engine failed: no sevens"
    assert first.error is not second.error
    assert good.error is None
    assert good.tensors[0].array.tolist() == [6.0]


def test_requests_of_a_model_without_batching_are_run_one_by_one(
    model: Any, session: Session
) -> None:
    model._joins = False
    responses = model.execute(ask((1, 3), (2, 3)))
    assert session.batches == [(1, 3), (2, 3)]
    assert [r.tensors[0].array.tolist() for r in responses] == [[3.0], [6.0, 6.0]]


DOUBLE = """
<ir_version: 10, opset_import: ["" : 18]>
double (float[batch, N] x) => (float[batch, N] sum)
{
    sum = Add(x, x)
}
"""


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "1").mkdir()
    graph = tmp_path / "1" / "model.onnx"
    onnx.save(onnx.parser.parse_model(DOUBLE), graph)
    files = {graph.name: hashlib.sha256(graph.read_bytes()).hexdigest()}
    passport = {"model": "double", "files": files}
    (tmp_path / "1" / "passport.json").write_text(json.dumps(passport))
    return {"model_repository": str(tmp_path), "model_version": "1"}


def config(backend: str, max_batch_size: int, **parameters: str) -> str:
    values = {name: {"string_value": value} for name, value in parameters.items()}
    described = {"name": "double", "backend": backend, "max_batch_size": max_batch_size}
    return json.dumps(described | {"parameters": values})


@pytest.mark.parametrize(
    ("backend", "rows", "parameters"),
    [
        ("onnxruntime", 8, {"intra_op_thread_count": "1", "execution_mode": "1"}),
        ("openvino", 0, {"NUM_STREAMS": "2", "INFERENCE_NUM_THREADS": "2"}),
        ("openvino", 0, {"HINT_BF16": "YES"}),
    ],
)
def test_each_engine_runs_the_graph_that_the_passport_vouches_for(
    model: Any, arguments: dict[str, str], backend: str, rows: int, parameters: dict[str, str]
) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    model.initialize(arguments | {"model_config": config(backend, rows, **parameters)})
    first, second = model.execute(ask((1, 3), (2, 3)))
    assert first.tensors[0].array.tolist() == [[2.0, 2.0, 2.0]]
    assert second.tensors[0].array.tolist() == [[4.0, 4.0, 4.0]] * 2


def test_a_graph_that_was_altered_or_a_parameter_that_is_no_number_is_refused(
    model: Any, arguments: dict[str, str]
) -> None:
    wrong = config("onnxruntime", 8, intra_op_thread_count="all")
    with pytest.raises(ValueError, match="intra_op_thread_count is 'all'"):
        model.initialize(arguments | {"model_config": wrong})
    graph = Path(arguments["model_repository"]) / "1" / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"more")
    with pytest.raises(ValueError, match="is not the file its passport was written for"):
        model.initialize(arguments | {"model_config": config("onnxruntime", 8)})
