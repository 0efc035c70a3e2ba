"""The protobuf messages of Triton's ``config.pbtxt``, without the rest of Triton's client.

``tritonclient.grpc`` imports gRPC and its whole client, which take 15 MiB; a gateway that neither
serves gRPC nor calls a Triton server needs the messages alone. So the module that holds them is
loaded from its file, under its own name: whatever imports it later gets the same messages.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

_NAME = "tritonclient.grpc.model_config_pb2"
_PATH = "grpc/model_config_pb2.py"


def _load() -> Any:
    if _NAME in sys.modules:
        return sys.modules[_NAME]
    package = find_spec("tritonclient")
    for directory in (package and package.submodule_search_locations) or ():
        spec = spec_from_file_location(_NAME, Path(directory) / _PATH)
        if spec is not None and spec.loader is not None and Path(directory, _PATH).is_file():
            module = sys.modules[_NAME] = module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ImportError(f"the package tritonclient has no {_PATH}", name=_NAME)


if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as model_config_pb2  # noqa: PLC0414 (exported)
else:
    model_config_pb2 = _load()
"""The module ``tritonclient.grpc.model_config_pb2``."""

ModelConfig = model_config_pb2.ModelConfig
