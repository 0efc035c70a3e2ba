"""Embedding clients of other libraries, unmodified, get their vectors from a running service."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest

from service.access.api_keys import create_key
from tests.support.documents import ADDRESS, ROOT, Example, examples
from tests.support.environments.client_environment import run_with_clients
from tests.support.environments.embedding_clients import TEXTS
from tests.support.gateways.servers import RunningServer, running_server
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the clients got, and what the service answers to the same texts at its own route."""
    folder = tmp_path_factory.mktemp("clients")
    root = write_repository(folder / "repository", tiny_heads())
    key = create_key(folder / "keys.json", "clients")
    options = ("--model-repo", str(root), "--checkpoint", "none")
    with running_server(*options, settings={"api_keys_file": folder / "keys.json"}) as server:
        script = ROOT / "tests" / "support" / "environments" / "embedding_clients.py"
        output = run_with_clients(str(script), server.url, key)
        own = httpx.post(
            f"{server.url}/predict/text/embedding",
            json={"inputs": TEXTS},
            headers={"Authorization": f"Bearer {key}"},
        )
    return {**json.loads(output), "own": own.json()}


@pytest.mark.parametrize(
    "client",
    [
        "openai",
        "openai, as numbers",
        "LangChain",
        "LangChain, query",
        "LangChain, async",
        "Hugging Face, /",
        "Hugging Face, /embed",
        "LlamaIndex, OpenAI",
        "LlamaIndex, OpenAI, query",
        "LlamaIndex, TEI",
        "Haystack, texts",
        "Haystack, documents",
    ],
)
def test_a_client_gets_the_vectors_of_the_service(client: str, answers: dict[str, Any]) -> None:
    assert np.shape(answers[client]) == (len(TEXTS), 16)
    np.testing.assert_allclose(answers[client], answers["own"], atol=1e-6)


def test_openais_client_understands_usage_models_and_failures(answers: dict[str, Any]) -> None:
    assert answers["usage"] == 21
    assert answers["dimensions"] == 8
    assert "text/embedding" in answers["models"]
    assert "token arrays are not taken" in answers["tokens"]
    assert answers["wrong key"] == "invalid_api_key"


@pytest.mark.parametrize(
    "example",
    examples(ROOT / "docs" / "http-api.md", mark="run clients"),
    ids=lambda example: example.name,
)
def test_a_documented_client_prints_the_size_of_vectors(
    example: Example, embedded_tiny: RunningServer
) -> None:
    output = run_with_clients("-c", example.code.replace(ADDRESS, embedded_tiny.url))
    assert all(line.split()[0] == "16" for line in output.splitlines())
