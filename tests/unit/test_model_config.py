from __future__ import annotations

from pathlib import Path

import pytest

from omnivec2.errors import ArtifactError, PassportError
from omnivec2.model_config import (
    Step,
    format_config,
    has_head_spec,
    is_served,
    model_directories,
    parse_config,
    read_config,
    read_head_spec,
    read_passport,
    read_reference,
    read_steps,
    set_head_spec,
    set_passport,
    set_reference,
)
from tests.support.checkpoints.references import made_up_reference
from tests.support.service_parts.service_fakes import letters_spec
from tests.support.triton.fake_triton import passport

ENSEMBLE = """
name: "text_topic"
ensemble_scheduling {
  step {
    model_name: "trunk"
    model_version: -1
    input_map { key: "tokens" value: "letters" }
    output_map { key: "features" value: "meaning" }
  }
}
"""


def test_a_head_spec_and_a_passport_come_back_as_they_were_written() -> None:
    spec = letters_spec()
    config = parse_config(f'name: "{spec.name}"', "the test")
    set_head_spec(config, spec)
    set_passport(config, passport(spec.name))
    again = parse_config(format_config(config), "the test")
    assert read_head_spec(again, "the test") == spec
    assert read_passport(again) == passport(spec.name)


def test_a_head_spec_can_be_taken_out_again() -> None:
    config = parse_config('name: "text_topic"', "the test")
    for spec in (letters_spec(), None, None):
        set_head_spec(config, spec)
        assert has_head_spec(config) == (spec is not None)


def test_a_training_reference_comes_back_and_a_damaged_one_is_refused_by_its_field() -> None:
    config = parse_config('name: "x"', "x")
    assert read_reference(config) is None
    set_reference(config, made_up_reference())
    assert read_reference(config) == made_up_reference()
    config.parameters["training_reference"].string_value = "{}"
    with pytest.raises(ArtifactError, match="x: not a training reference: planes: "):
        read_reference(config)
    set_reference(config, None)
    assert read_reference(config) is None


@pytest.mark.parametrize("text", ["name: [", "surprise: 1"])
def test_what_is_not_a_configuration_is_refused_by_name(text: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"^here: not a model configuration"):
        parse_config(text, "here")
    (tmp_path / "config.pbtxt").write_text(text)
    with pytest.raises(ArtifactError, match=r"config\.pbtxt: not a model configuration"):
        read_config(tmp_path / "config.pbtxt")


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"config\.pbtxt: not a model configuration"):
        read_config(tmp_path / "config.pbtxt")


def test_a_configuration_without_a_head_spec_or_passport_says_so() -> None:
    config = parse_config('name: "x"', "x")
    with pytest.raises(ArtifactError, match="x: no head_spec among its parameters"):
        read_head_spec(config, "x")
    assert read_passport(config) is None


def test_a_damaged_head_spec_or_passport_is_refused_by_its_field() -> None:
    config = parse_config('name: "x"', "x")
    config.parameters["head_spec"].string_value = '{"modality": "smell"}'
    config.parameters["passport"].string_value = "{}"
    with pytest.raises(ArtifactError, match="x: not a head spec: modality: "):
        read_head_spec(config, "x")
    with pytest.raises(PassportError, match="x: not a passport: model: "):
        read_passport(config)


def test_the_steps_of_an_ensemble_are_read_in_order() -> None:
    config = parse_config(ENSEMBLE, "the test")
    assert read_steps(config) == (
        Step("trunk", "-1", {"tokens": "letters"}, {"features": "meaning"}),
    )
    assert read_steps(parse_config('name: "trunk"', "the test")) == ()


def test_parts_are_not_served_by_themselves_unless_they_carry_a_head_spec() -> None:
    config = parse_config("", "the test")
    names = ("trunk", "tokenizer_text", "head_text_topic", "decoder_text_title", "text_topic")
    assert [is_served(config, name) for name in names] == [False, False, False, False, True]
    set_head_spec(config, letters_spec())
    assert is_served(config, "trunk")


def test_directories_without_a_configuration_or_with_a_dot_are_no_models(tmp_path: Path) -> None:
    for name in ("trunk", ".staging-trunk", "audio_events"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.pbtxt").touch()
    (tmp_path / "empty").mkdir()
    assert [path.name for path in model_directories(tmp_path)] == ["audio_events", "trunk"]
