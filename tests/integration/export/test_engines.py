"""The service takes the fastest engine that answers like the network, whatever is installed."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateways.servers import RunningServer, running_server

HEADS = {
    "image/classification": ("image/blood_smear.jpg", "image/jpeg"),
    "text/sentiment": ("text/review.txt", "text/plain"),
    "xray/pneumonia": ("xray/chest_normal.dcm", "application/dicom"),
}
DATA = Path(__file__).resolve().parents[2] / "data"
AUTO = {"OMNIVEC2_ENGINE": "auto", "OMNIVEC2_ENGINE_PRECISION": "auto"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers of this module assemble the reference checkpoint."""
    return tmp_path_factory.mktemp("repository")


def serve(repository: Path, **environment: str) -> Any:
    only = [word for head in HEADS for word in ("--only", head)]
    options = ("--model-repo", str(repository / "models"), *only)
    return running_server(*options, environment=environment)


def get(server: RunningServer, path: str) -> Any:
    with urllib.request.urlopen(f"{server.url}{path}", timeout=30) as answer:
        return json.load(answer)


def scores(server: RunningServer) -> dict[str, Mapping[str, float]]:
    """Head -> label -> score, for a file of its modality."""
    found: dict[str, Mapping[str, float]] = {}
    for head, (file, kind) in HEADS.items():
        request = urllib.request.Request(
            f"{server.url}/predict/{head}",
            (DATA / file).read_bytes(),
            {"Content-Type": kind},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            rows = json.load(answer)
        rows = rows[0] if isinstance(rows[0], list) else rows  # as Hugging Face's task of texts
        found[head] = {row["label"]: row["score"] for row in rows}
    return found


def executions(server: RunningServer) -> dict[str, Any]:
    return {model["name"]: model["execution"] for model in get(server, "/models")["models"]}


@pytest.fixture(scope="module")
def exact(repository: Path) -> Iterator[dict[str, Mapping[str, float]]]:
    """The scores of ONNX Runtime in float32."""
    with serve(repository) as server:
        assert {e["engine"] for e in executions(server).values()} == {"onnxruntime"}
        yield scores(server)


def assert_alike(found: Mapping[str, Mapping[str, float]], exact: Mapping[str, Any]) -> None:
    for head, expected in exact.items():
        assert max(found[head], key=found[head].__getitem__) == max(
            expected, key=expected.__getitem__
        )
        assert found[head] == pytest.approx(expected, abs=0.08), head


def test_every_head_runs_in_an_engine_that_passed_its_gate_and_answers_alike(
    repository: Path, exact: dict[str, Mapping[str, float]]
) -> None:
    with serve(repository, **AUTO) as server:
        for name, execution in executions(server).items():
            assert execution["gate_points"] <= execution["tolerance_points"], name
        assert get(server, "/readyz")["status"] == "ready"
        assert_alike(scores(server), exact)


def test_without_openvino_installed_onnx_runtime_serves(
    repository: Path, tmp_path: Path, exact: dict[str, Mapping[str, float]]
) -> None:
    package = tmp_path / "openvino"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('not installed here')\n")
    root = str(Path(__file__).resolve().parents[3])
    with serve(repository, PYTHONPATH=f"{tmp_path}:{root}", **AUTO) as server:
        assert {e["engine"] for e in executions(server).values()} == {"onnxruntime"}
        assert_alike(scores(server), exact)


def test_a_processor_without_avx_512_is_served_by_what_runs_on_it(
    repository: Path, exact: dict[str, Mapping[str, float]]
) -> None:
    with serve(repository, ONEDNN_MAX_CPU_ISA="AVX2", **AUTO) as server:
        assert {e["precision"] for e in executions(server).values()} <= {"fp32", "int8"}
        assert_alike(scores(server), exact)
