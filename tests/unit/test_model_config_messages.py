from __future__ import annotations

import subprocess
import sys

import pytest

from omnivec2 import model_config_messages


def in_a_new_process(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


def test_the_messages_are_loaded_without_grpc():
    code = "import sys, omnivec2.model_config; print({'grpc', 'ml_dtypes'} & set(sys.modules))"
    assert in_a_new_process(code) == "set()"


@pytest.mark.parametrize(
    "imports",
    [
        "omnivec2.model_config_messages, tritonclient.grpc",
        "tritonclient.grpc, omnivec2.model_config",
    ],
    ids=["messages first", "client first"],
)
def test_tritons_client_has_the_same_messages(imports):
    code = f"""
import {imports}
from omnivec2.model_config_messages import ModelConfig
from tritonclient.grpc import model_config_pb2, service_pb2
print(model_config_pb2.ModelConfig is ModelConfig, end=" ")
print(isinstance(service_pb2.ModelConfigResponse(config=ModelConfig(name="a")).config, ModelConfig))
"""
    assert in_a_new_process(code) == "True True"


def test_a_client_without_the_messages_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "tritonclient.grpc.model_config_pb2")
    monkeypatch.setattr(model_config_messages, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match="tritonclient has no"):
        model_config_messages._load()
