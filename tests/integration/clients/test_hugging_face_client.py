"""``huggingface_hub.InferenceClient``, unmodified, gets its answers from a running service."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from PIL import Image

from tests.support.documents import ROOT
from tests.support.gateways.servers import RunningServer

TABLE = ROOT / "tests" / "data" / "tabular" / "adult_table.json"
SOUND = ROOT / "tests" / "data" / "audio" / "dog_bark.ogg"


@pytest.fixture(scope="module", params=["embedded_tiny", "reference"])
def url(request: pytest.FixtureRequest) -> str:
    server: RunningServer = request.getfixturevalue(request.param)
    return server.url


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "noise.jpg"
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def client(url: str, route: str) -> InferenceClient:
    return InferenceClient(model=f"{url}/predict/{route}", token="hf_anything")


def test_image_classification(url: str, picture: Path) -> None:
    answers = client(url, "image/classification").image_classification(picture)
    assert len(answers) > 1
    assert answers[0].score >= answers[1].score


def test_image_classification_with_top_k(url: str, picture: Path) -> None:
    classifier = client(url, "image/classification")
    assert len(classifier.image_classification(picture.read_bytes(), top_k=2)) == 2


def test_object_detection(url: str, picture: Path) -> None:
    for found in client(url, "image/detection").object_detection(picture, threshold=0.0):
        assert 0 <= found.box.xmin <= found.box.xmax <= 120


def test_image_segmentation(url: str, picture: Path) -> None:
    regions = client(url, "image/segmentation").image_segmentation(picture)
    assert regions
    assert all(_size(region.mask) == (120, 90) for region in regions)


def test_audio_classification(url: str) -> None:
    assert client(url, "audio/events").audio_classification(SOUND)[0].label


def test_text_classification(url: str) -> None:
    answers = client(url, "text/sentiment").text_classification("a great film")
    assert {answer.label for answer in answers} >= {"positive", "negative"}


def test_feature_extraction(url: str) -> None:
    vectors = client(url, "text/embedding").feature_extraction("a great film", normalize=True)
    assert vectors.shape[0] == 1
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-3)


def test_tabular_classification(url: str) -> None:
    classifier = client(url, "tabular/income")
    table = json.loads(TABLE.read_text())["table"]
    labels = classifier.tabular_classification(table)
    assert len(labels) == len(table["age"])
    assert set(labels) <= {"<=50K", ">50K"}


def test_an_error_is_shown_as_the_service_words_it(url: str) -> None:
    with pytest.raises(HfHubHTTPError, match="image"):
        client(url, "image/classification").image_classification(b"this is no image")


def _size(mask: object) -> tuple[int, int]:
    image = mask if isinstance(mask, Image.Image) else Image.open(io.BytesIO(mask))
    return image.size
