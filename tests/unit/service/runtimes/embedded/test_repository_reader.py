from __future__ import annotations

from pathlib import Path

import pytest

from export.repository.layouts import Layout
from omnivec2.errors import ArtifactError
from service.runtimes.embedded.repository_reader import read_repository
from tests.support.model_repositories.tiny_graphs import head_part, trunk_part
from tests.support.model_repositories.tiny_models import (
    classification,
    read_part,
    write_ensemble,
    write_model,
    write_part,
    write_repository,
)

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


def test_a_model_that_is_still_being_written_is_not_looked_at(root: Path) -> None:
    (root / "text_topic").rename(root / ".staging-text_topic")
    repository = read_repository(root)
    assert set(repository.models) == {"text_sentiment"}
    assert repository.refused == {}


def test_asking_for_a_model_that_is_not_there_fails(root: Path) -> None:
    with pytest.raises(ArtifactError, match="no head 'text/topik'; did you mean 'text/topic'"):
        read_repository(root, ["text/topik"])


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


# --- models that consist of parts -------------------------------------------------------

PARTS = ["tokenizer_text", "trunk", "head_text_topic"]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return write_repository(tmp_path, [SENTIMENT, TOPIC], Layout.SHARED)


def test_a_model_in_parts_names_its_steps_and_a_graph_for_each(shared: Path) -> None:
    repository = read_repository(shared)
    assert repository.refused == {}
    assert set(repository.models) == {"text_sentiment", "text_topic"}
    stored = repository.models["text_topic"]
    assert stored.spec.labels == ("a", "b", "c")
    assert [step.model for step in stored.steps] == PARTS
    assert [graph.name for graph in stored.graphs] == PARTS
    assert [graph.directory for graph in stored.graphs] == [shared / name / "1" for name in PARTS]
    trunk = stored.steps[1]
    assert (trunk.version, trunk.inputs) == ("1", {"tokens": "tokens", "mask": "mask"})
    assert trunk.outputs == {"features": "features"}


def test_parts_are_shared_and_are_not_models_themselves(shared: Path) -> None:
    first, second = (stored.graphs for stored in read_repository(shared).models.values())
    assert first[:2] == second[:2]
    assert first[2] != second[2]


def test_asking_for_one_model_in_parts_reads_its_parts_too(shared: Path) -> None:
    (stored,) = read_repository(shared, ["text/topic"]).models.values()
    assert [graph.name for graph in stored.graphs] == PARTS


def _exchange_trunk(root: Path) -> None:
    write_part(root, *trunk_part(scale=2.0))


def _rename_trunk_in_its_passport(root: Path) -> None:
    passport = root / "trunk" / "1" / "passport.json"
    passport.write_text(passport.read_text().replace('"model":"trunk"', '"model":"head_x"'))


SHARED_DAMAGES = {
    "another trunk": (_exchange_trunk, "exported with another trunk"),
    "altered trunk": (lambda root: _alter_graph(root / "trunk"), "model.onnx is not the file"),
    "passport of another part": (_rename_trunk_in_its_passport, "the passport of head_x"),
    "no trunk": (lambda root: (root / "trunk").rename(root / ".trunk"), "trunk"),
    "another version of the trunk": (
        lambda root: (root / "trunk" / "1").rename(root / "trunk" / "2"),
        "no passport",
    ),
    "no configuration of the trunk": (
        lambda root: (root / "trunk" / "config.pbtxt").unlink(),
        "not a model configuration",
    ),
}


@pytest.mark.parametrize("damage", SHARED_DAMAGES)
def test_a_damaged_part_refuses_by_name_every_model_that_has_it(shared: Path, damage: str) -> None:
    spoil, reason = SHARED_DAMAGES[damage]
    spoil(shared)
    repository = read_repository(shared)
    assert repository.models == {}
    assert set(repository.refused) == {"text_sentiment", "text_topic"}
    for why in repository.refused.values():
        assert reason in why


def test_another_head_under_an_ensemble_refuses_that_model_only(shared: Path) -> None:
    write_part(shared, *head_part(TOPIC, scale=2.0))
    repository = read_repository(shared)
    assert set(repository.models) == {"text_sentiment"}
    assert "exported with another head_text_topic" in repository.refused["text_topic"]
    write_ensemble(shared, TOPIC, [read_part(shared, name) for name in PARTS])
    assert read_repository(shared).refused == {}


def test_a_part_that_the_passport_does_not_name_is_refused(shared: Path) -> None:
    config = shared / "text_topic" / "config.pbtxt"
    config.write_text(config.read_text().replace('"head_text_topic"', '"head_text_sentiment"'))
    assert "head_text_sentiment" in read_repository(shared).refused["text_topic"]
