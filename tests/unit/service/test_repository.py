from __future__ import annotations

from pathlib import Path

import pytest

from omnivec2.errors import ArtifactError
from service.repository import read_repository
from tests.support.tiny_models import classification, write_model, write_repository

SENTIMENT = classification("text/sentiment", "no", "yes")
TOPIC = classification("text/topic", "a", "b", "c")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_repository(tmp_path, [SENTIMENT, TOPIC])


def test_models_carry_their_head_spec(root: Path) -> None:
    repository = read_repository(root)
    assert repository.refused == {}
    stored = repository.models["text_topic"]
    assert stored.spec.labels == ("a", "b", "c")
    assert (stored.version, stored.steps) == ("1", ())
    assert [graph.directory for graph in stored.graphs] == [root / "text_topic" / "1"]


def test_the_newest_version_is_served(root: Path) -> None:
    (root / "text_topic" / "1").rename(root / "text_topic" / "10")
    (root / "text_topic" / "9").mkdir()
    assert read_repository(root).models["text_topic"].version == "10"


def test_only_the_models_asked_for_are_read(root: Path) -> None:
    assert list(read_repository(root, ["text/topic"]).models) == ["text_topic"]


def test_asking_for_a_model_that_is_not_there_fails(root: Path) -> None:
    with pytest.raises(ArtifactError, match="text_smell"):
        read_repository(root, ["text/smell"])


def test_a_missing_repository_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="omnivec2 serve"):
        read_repository(tmp_path / "none")


def _alter_graph(model: Path) -> None:
    with (model / "1" / "model.onnx").open("ab") as file:
        file.write(b"x")


def _swap_spec(model: Path) -> None:
    other = model.parent / "text_sentiment" / "config.pbtxt"
    (model / "config.pbtxt").write_bytes(other.read_bytes())


DAMAGES = {
    "altered graph": _alter_graph,
    "another model's configuration": _swap_spec,
    "no passport": lambda model: (model / "1" / "passport.json").unlink(),
    "no weights": lambda model: (model / "1" / "weights.safetensors").unlink(),
    "no version": lambda model: (model / "1").rename(model / "one"),
    "broken configuration": lambda model: (model / "config.pbtxt").write_text("name: {"),
    "binary configuration": lambda model: (model / "config.pbtxt").write_bytes(b"\xff\xfe"),
    "no head spec": lambda model: (model / "config.pbtxt").write_text('name: "text_topic"'),
    "wrong head spec": lambda model: (model / "config.pbtxt").write_text(
        'parameters { key: "head_spec" value { string_value: "{}" } }'
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_refused_and_the_others_are_served(root: Path, damage: str) -> None:
    DAMAGES[damage](root / "text_topic")
    repository = read_repository(root)
    assert list(repository.models) == ["text_sentiment"]
    assert list(repository.refused) == ["text_topic"]
    assert repository.refused["text_topic"]


def test_a_model_with_the_passport_of_other_weights_is_refused(tmp_path: Path) -> None:
    model = write_model(tmp_path, TOPIC)
    config = (model / "config.pbtxt").read_text()
    digest = read_repository(tmp_path).models["text_topic"].spec.checkpoint_digest
    (model / "config.pbtxt").write_text(config.replace(digest, "0" * 64))
    assert "different checkpoints" in read_repository(tmp_path).refused["text_topic"]
