"""Triton's ONNX Runtime backend, with Triton's side of it replaced."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

MODEL = Path(__file__).resolve().parents[4] / "deploy/triton/backends/onnxruntime/model.py"


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
    spec = importlib.util.spec_from_file_location("onnxruntime_backend_model", MODEL)
    assert spec is not None
    assert spec.loader is not None
    monkeypatch.setattr(np, "__version__", "1.26.4")  # the real one is that of Triton's Python
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded = module.TritonPythonModel()
    loaded._session, loaded._inputs = session, ["x"]
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
    assert first.error.message == second.error.message == "ONNX Runtime: no sevens"
    assert first.error is not second.error
    assert good.error is None
    assert good.tensors[0].array.tolist() == [6.0]
