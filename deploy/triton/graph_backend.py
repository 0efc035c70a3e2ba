"""Triton's ``onnxruntime`` and ``openvino`` backends in Python, for machines with its core alone.

It reads the same ``config.pbtxt`` and ``model.onnx`` as the C++ backends of NVIDIA's image, which
replace this one wherever both are installed. For development and tests: every model is a process
of its own, and tensors are copied into and out of it. It is installed once under each name, and the
name in a model's configuration says which engine runs it.

Needs numpy < 2: with numpy 2 the Python backend of this Triton answers with empty tensors.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

Tensors = dict[str, np.ndarray[Any, Any]]
Parameters = dict[str, dict[str, str]]
Run = Callable[[list[str], Tensors], list[np.ndarray[Any, Any]]]
"""Computes the outputs of these names from a batch."""

_GRAPH_FILE = "model.onnx"
_PASSPORT_FILE = "passport.json"

_THREADS = 1
"""The cores that one batch may use unless the model's configuration says otherwise.

The C++ backends take all of them. Here every model is a process with a pool of its own, and
dozens of them would compete for a few cores; different models run in parallel anyway. The
gateway's in-process runtime has the same default, for the same reason."""

if int(np.__version__.partition(".")[0]) >= 2:
    raise ImportError(f"this backend would answer with empty tensors under numpy {np.__version__}")


class TritonPythonModel:
    """One instance of a model: a session, run once per batch that Triton puts together."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load this version's graph, if its passport vouches for it.

        Args:
            args: The arguments of Triton: ``model_config`` is JSON, ``model_repository`` the
                model's directory.

        Raises:
            ValueError: The passport does not match; Triton shows why in its model index.
        """
        config = json.loads(args["model_config"])
        directory = Path(args["model_repository"]) / args["model_version"]
        graph = config.get("default_model_filename") or _GRAPH_FILE
        verify_passport(directory, config["name"], graph)
        # The dimensions of a configuration without batching begin with the batch.
        self._joins = int(config.get("max_batch_size", 0)) > 0
        open_graph = _ENGINES[config["backend"]]
        self._inputs, self._run_graph = open_graph(
            str(directory / graph), config.get("parameters", {})
        )
        # Loading leaves nearly as much free memory behind as the weights take.
        ctypes.CDLL(None).malloc_trim(0)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Join the requests of a batch, run the graph once, and split the outputs.

        Triton's batcher should only join requests whose shapes agree but for the batch. It has
        been seen to mix them (a decoder's requests, after a few minutes of tests): each shape
        is then run separately.
        """
        inputs = [self._read(request) for request in requests]
        same_shape: dict[tuple[Any, ...], list[int]] = {}
        for index, tensors in enumerate(inputs):
            shape: tuple[Any, ...] = ()
            if len(inputs) > 1:
                shape = tuple(tensors[name].shape[1:] for name in self._inputs)
            same_shape.setdefault(shape if self._joins else (index,), []).append(index)
        responses: list[Any] = [None] * len(requests)
        for indices in same_shape.values():
            answers = self._answer([requests[i] for i in indices], [inputs[i] for i in indices])
            for index, response in zip(indices, answers, strict=True):
                responses[index] = response
        return responses

    def _answer(self, requests: list[Any], inputs: list[Tensors]) -> list[Any]:
        """Run requests of one shape and return their responses."""
        requested = [request.requested_output_names() for request in requests]
        names = sorted({name for wanted in requested for name in wanted})
        try:
            outputs = self._run(inputs, names)
        except Exception as error:  # engines' errors have no base class of their own
            reason = f"the engine failed: {error}"
            # Each request gets its own error: Triton moves them to shared memory one by one.
            return [
                pb_utils.InferenceResponse(error=pb_utils.TritonError(reason)) for _ in requests
            ]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(name, tensors[name]) for name in wanted])
            for wanted, tensors in zip(requested, outputs, strict=True)
        ]

    def _read(self, request: Any) -> Tensors:
        """Return a request's inputs by the names of the graph."""
        get = pb_utils.get_input_tensor_by_name
        return {name: get(request, name).as_numpy() for name in self._inputs}

    def _run(self, inputs: list[Tensors], names: list[str]) -> list[Tensors]:
        """Return the outputs of each request, from one run over all of them."""
        if len(inputs) == 1:  # nothing to join, and there need not be a batch axis
            return [dict(zip(names, self._run_graph(names, inputs[0]), strict=True))]
        batch = {name: np.concatenate([each[name] for each in inputs]) for name in self._inputs}
        outputs = self._run_graph(names, batch)
        ends = np.cumsum([len(each[self._inputs[0]]) for each in inputs])[:-1]
        rows = [np.split(output, ends) for output in outputs]
        return [dict(zip(names, own, strict=True)) for own in zip(*rows, strict=True)]


def open_onnxruntime(graph: str, parameters: Parameters) -> tuple[list[str], Run]:
    """Load a graph with ONNX Runtime; its options are named as in the C++ backend.

    Args:
        graph: The path of the graph.
        parameters: The parameters of the model's configuration.

    Returns:
        The names of its inputs, and a function that runs it.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    # 0 is ONNX Runtime's own choice: all cores.
    options.intra_op_num_threads = _number(parameters, "intra_op_thread_count", _THREADS)
    options.inter_op_num_threads = _number(parameters, "inter_op_thread_count", 0)
    if _number(parameters, "execution_mode", 0) == 1:
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    # The arena of each model would keep the memory that its largest batch took.
    options.enable_cpu_mem_arena = bool(_number(parameters, "enable_mem_arena", 0))
    options.enable_mem_pattern = bool(_number(parameters, "enable_mem_pattern", 0))
    # Threads that spin while they wait would take the cores from the other models.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return [node.name for node in session.get_inputs()], session.run


def open_openvino(graph: str, parameters: Parameters) -> tuple[list[str], Run]:
    """Load a graph with OpenVINO; its options are named as in the C++ backend.

    Every instance is a process here and runs one batch at a time, so ``NUM_STREAMS`` and
    ``INFERENCE_NUM_THREADS``, which are for all instances of the C++ backend, are divided.

    Args:
        graph: The path of the graph.
        parameters: The parameters of the model's configuration.

    Returns:
        The names of its inputs, and a function that runs it.
    """
    import openvino as ov

    streams = max(1, _number(parameters, "NUM_STREAMS", 1))
    threads = _number(parameters, "INFERENCE_NUM_THREADS", _THREADS * streams)
    options: dict[str, Any] = {
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": max(1, threads // streams),
    }
    if parameters.get("HINT_BF16", {}).get("string_value", "").lower() == "yes":
        options["INFERENCE_PRECISION_HINT"] = "bf16"
    compiled = ov.Core().compile_model(graph, "CPU", options)
    request = compiled.create_infer_request()

    def run(names: list[str], inputs: Tensors) -> list[np.ndarray[Any, Any]]:
        request.infer(inputs)
        # The request's own memory, which the next batch overwrites.
        return [np.array(request.get_tensor(name).data) for name in names]

    return [node.get_any_name() for node in compiled.inputs], run


_ENGINES: dict[str, Callable[[str, Parameters], tuple[list[str], Run]]] = {
    "onnxruntime": open_onnxruntime,
    "openvino": open_openvino,
}


def verify_passport(directory: Path, model: str, graph: str) -> None:
    """Check that a model version's files are those its passport was written for.

    The service checks more of the passport; its packages are not in this environment.

    Raises:
        ValueError: The passport is missing, of another model, or a file is not the one it names.
    """
    path = directory / _PASSPORT_FILE
    try:
        passport = json.loads(path.read_bytes())
        files = dict(passport["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{model}: {path} is not a readable passport: {error!r}") from error
    if passport.get("model", model) != model:
        raise ValueError(f"{model}: {path} is the passport of {passport['model']}")
    if graph not in files:
        raise ValueError(f"{model}: {path} does not vouch for {graph}")
    for name, expected in files.items():
        if _digest(directory / name) != expected:
            raise ValueError(
                f"{model}: {directory / name} is not the file its passport was written for"
            )


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, or nothing if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _number(parameters: Parameters, name: str, default: int) -> int:
    """Return a parameter of the model's configuration; Triton keeps them all as strings."""
    text = parameters.get(name, {}).get("string_value", "")
    try:
        return int(text) if text else default
    except ValueError as error:
        raise ValueError(f"parameter {name} is {text!r}, expected a whole number") from error
