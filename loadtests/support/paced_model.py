"""A head in Triton whose rows take a constant time and no processor, as on an accelerator.

With gateways, servers and the senders of load on the same few cores, a measurement of many gateways
would be one of how they share the cores. This file is the model itself, too: it is copied into the
repository, and runs in Triton's own Python backend.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

_SECONDS_PARAMETER = "seconds_per_row"


def pace_model(repository: Path, name: str, seconds: float) -> None:
    """Replace a head's graph in a repository of the fused layout.

    Args:
        repository: The model repository.
        name: The name of the head's model; its outputs have fixed shapes.
        seconds: The time that a row takes in one of the model's instances.
    """
    from omnivec2.model_config import CONFIG_FILE, format_config, read_config

    path = repository / name / CONFIG_FILE
    config = read_config(path)
    config.backend = "python"
    config.default_model_filename = "model.py"
    config.parameters[_SECONDS_PARAMETER].string_value = str(seconds)
    path.write_text(format_config(config), "utf-8")
    shutil.copyfile(__file__, repository / name / "1" / "model.py")


class TritonPythonModel:
    """The model in Triton: it sleeps, and answers with zeros."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Read the model's configuration."""
        config = json.loads(arguments["model_config"])
        self._seconds = float(config["parameters"][_SECONDS_PARAMETER]["string_value"])
        self._shapes = {each["name"]: [int(n) for n in each["dims"]] for each in config["output"]}

    def execute(self, requests: list[Any]) -> list[Any]:
        """Sleep for all rows of a batch, and return its answers."""
        import triton_python_backend_utils as pb_utils

        rows = [int(request.inputs()[0].shape()[0]) for request in requests]
        time.sleep(self._seconds * sum(rows))
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor(name, np.zeros((count, *self._shapes[name]), np.float32))
                    for name in request.requested_output_names()
                ]
            )
            for request, count in zip(requests, rows, strict=True)
        ]
