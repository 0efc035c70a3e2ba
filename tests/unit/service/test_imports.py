"""What is not served is not imported: what a gateway in a process of its own has loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from omnivec2.spec import Modality

ROOT = Path(__file__).resolve().parents[3]

LIBRARIES = frozenset(
    {
        "PIL", "av", "fpsample", "google.protobuf.text_format", "grpc", "imagecodecs", "laspy",
        "ml_dtypes", "onnxruntime", "opentelemetry.sdk", "openvino", "pyarrow", "pydicom",
        "pypcd4", "rdkit", "scipy", "soundfile", "soxr", "tifffile", "tokenizers",
        "torch", "tritonclient.grpc",
    }
)  # fmt: skip
"""Modules that take a megabyte or more, or belong to a single modality or setting."""

EVERY_SERVICE = {"google.protobuf.text_format"}

SCRIPT = """
import asyncio, json, sys
from pathlib import Path
from omnivec2.spec import HeadSpec
from service.app import create_app
from service.settings import Settings
from tests.support.service_parts.service_fakes import FakeRuntime

async def serve(*modalities):
    files = [p for m in modalities for p in Path("checkpoints/reference/models").glob(f"{m}_*")]
    specs = [HeadSpec.model_validate_json((p / "head.json").read_bytes()) for p in files]
    app = create_app(Settings(refresh_seconds=0), FakeRuntime(*specs))
    async with app.router.lifespan_context(app):
        await app.state.gateway.loading
        return len(app.state.gateway.dataplane.heads) == len(specs) > 0

complete = asyncio.run(serve(*sys.argv[1:]))
print(json.dumps([complete, sorted(sys.modules)]))
"""


def imported(*modalities: str) -> frozenset[str]:
    command = [sys.executable, "-c", SCRIPT, *modalities]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    complete, modules = json.loads(done.stdout.splitlines()[-1])
    assert complete
    return LIBRARIES & set(modules)


@pytest.mark.parametrize(
    ("modalities", "libraries"),
    [
        (("text",), {"tokenizers"}),
        (("image",), {"PIL"}),
        (("tabular", "timeseries", "imu"), set()),
        (("audio",), {"soundfile", "soxr"}),
        (("pointcloud", "graph"), set()),
        (("hyperspectral",), {"PIL"}),
    ],
    ids=lambda names: " ".join(sorted(names)),
)
def test_a_service_imports_the_libraries_of_what_it_serves(modalities, libraries):
    assert imported(*modalities) == EVERY_SERVICE | libraries


def test_readers_of_rare_formats_are_not_imported_before_such_a_file_arrives():
    """Parquet, DICOM, LAS, PCD, MATLAB, ENVI; molecules too, whose library is the largest."""
    assert imported(*Modality) == EVERY_SERVICE | {
        "PIL", "av", "imagecodecs", "soundfile", "soxr", "tifffile", "tokenizers",
    }  # fmt: skip
