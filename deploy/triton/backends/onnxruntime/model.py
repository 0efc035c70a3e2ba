"""Triton's ``onnxruntime`` backend in Python, for where only Triton's core is installed.

Reads the same ``config.pbtxt`` and ``model.onnx`` as the C++ backend of NVIDIA's image, which
takes this one's place wherever both are there. For development and tests: every model is a
process of its own, and tensors are copied into and out of it.

Needs numpy < 2: with numpy 2 the Python backend of this Triton answers with empty tensors.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils

Tensors = dict[str, np.ndarray[Any, Any]]

_GRAPH_FILE = "model.onnx"
_PASSPORT_FILE = "passport.json"

_INTRA_OP_THREADS = 1
"""Cores one batch may use unless the model's configuration says otherwise.

The C++ backend takes all of them. Here every model is a process with a pool of its own, and
dozens of them on a few cores would fight over these; different models run side by side
anyway. The gateway's in-process runtime has the same default, for the same reason."""

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
            ValueError: the passport does not match; Triton shows why in its model index.
        """
        config = json.loads(args["model_config"])
        directory = Path(args["model_repository"]) / args["model_version"]
        graph = config.get("default_model_filename") or _GRAPH_FILE
        verify_passport(directory, config["name"], graph)
        self._session = ort.InferenceSession(
            str(directory / graph),
            session_options(config.get("parameters", {})),
            providers=["CPUExecutionProvider"],
        )
        self._inputs = [node.name for node in self._session.get_inputs()]
        # Loading leaves nearly as much free memory behind as the weights take.
        ctypes.CDLL(None).malloc_trim(0)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Join the requests of a batch, run the graph once, hand each the rows it asked for.

        Triton's batcher is to put only requests together whose shapes agree but for the batch.
        It has been seen to mix them (a decoder's requests, after a few minutes of tests): each
        shape then is a run of its own.
        """
        parts = [self._read(request) for request in requests]
        alike: dict[tuple[Any, ...], list[int]] = {}
        for index, part in enumerate(parts):
            shape = tuple(part[name].shape[1:] for name in self._inputs) if len(parts) > 1 else ()
            alike.setdefault(shape, []).append(index)
        responses: list[Any] = [None] * len(requests)
        for indices in alike.values():
            answers = self._answer([requests[i] for i in indices], [parts[i] for i in indices])
            for index, response in zip(indices, answers, strict=True):
                responses[index] = response
        return responses

    def _answer(self, requests: list[Any], parts: list[Tensors]) -> list[Any]:
        """Responses to requests of one shape."""
        asked = [request.requested_output_names() for request in requests]
        names = sorted({name for wanted in asked for name in wanted})
        try:
            shares = self._run(parts, names)
        except Exception as error:  # ONNX Runtime's errors have no base class of their own
            reason = f"ONNX Runtime: {error}"
            # An error of its own for each: Triton moves them to shared memory one by one.
            return [
                pb_utils.InferenceResponse(error=pb_utils.TritonError(reason)) for _ in requests
            ]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(name, share[name]) for name in wanted])
            for wanted, share in zip(asked, shares, strict=True)
        ]

    def _read(self, request: Any) -> Tensors:
        """A request's inputs as the graph names them."""
        get = pb_utils.get_input_tensor_by_name
        return {name: get(request, name).as_numpy() for name in self._inputs}

    def _run(self, parts: list[Tensors], names: list[str]) -> list[Tensors]:
        """Outputs of each part, from one run over all of them."""
        if len(parts) == 1:  # nothing to join, and there need not be a batch axis
            return [dict(zip(names, self._session.run(names, parts[0]), strict=True))]
        inputs = {name: np.concatenate([part[name] for part in parts]) for name in self._inputs}
        outputs = self._session.run(names, inputs)
        ends = np.cumsum([len(part[self._inputs[0]]) for part in parts])[:-1]
        shares = [np.split(output, ends) for output in outputs]
        return [dict(zip(names, share, strict=True)) for share in zip(*shares, strict=True)]


def session_options(parameters: dict[str, dict[str, str]]) -> ort.SessionOptions:
    """Read ONNX Runtime's options from a model's parameters, named as in the C++ backend."""
    options = ort.SessionOptions()
    # 0 is ONNX Runtime's own choice: all cores.
    options.intra_op_num_threads = _number(parameters, "intra_op_thread_count", _INTRA_OP_THREADS)
    options.inter_op_num_threads = _number(parameters, "inter_op_thread_count", 0)
    if _number(parameters, "execution_mode", 0) == 1:
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    # The arena never gives back what the largest batch took, once per model.
    options.enable_cpu_mem_arena = bool(_number(parameters, "enable_mem_arena", 0))
    options.enable_mem_pattern = bool(_number(parameters, "enable_mem_pattern", 0))
    # Threads that spin while they wait would take the cores from the other models.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    return options


def verify_passport(directory: Path, model: str, graph: str) -> None:
    """Check that a model version's files are those its passport was written for.

    The service does the same with more of the passport; this environment has none of it.

    Raises:
        ValueError: the passport is missing, of another model, or a file is not the one it names.
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
    """SHA-256 of a file; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _number(parameters: dict[str, dict[str, str]], name: str, default: int) -> int:
    """A parameter of the model's configuration; Triton keeps them all as strings."""
    text = parameters.get(name, {}).get("string_value", "")
    try:
        return int(text) if text else default
    except ValueError as error:
        raise ValueError(f"parameter {name} is {text!r}, expected a whole number") from error
