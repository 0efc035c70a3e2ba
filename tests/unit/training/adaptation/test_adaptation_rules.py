"""The rules that most modalities share when labelled data becomes a head's inputs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from omnivec2.errors import InvalidInputError, InvalidParameterError
from omnivec2.network.config import Summary
from omnivec2.preprocess import Preprocessor, preprocessor_type
from omnivec2.spec import HeadSpec, Modality
from omnivec2.training.adaptation.adaptation_rules import (
    INPUT_NAMES,
    AdaptationRules,
    TextRules,
    parameters_differ,
)
from omnivec2.training.adaptation.frozen_network import Base, load_base
from omnivec2.training.adaptation.reading.labelled_rows import Row
from omnivec2.training.data.array_inputs import prepare_array
from omnivec2.training.data.base import TaskData
from tests.support.data_sets import adapt_data
from tests.support.model_repositories.tiny_models import classification

RULES = AdaptationRules()
TABLE = Path("labels.csv")
IMAGE = classification("image/light", "dark", "light")


def preprocessor(modality: Modality, **parameters: Any) -> Preprocessor[Any, Any]:
    kind = preprocessor_type(modality)
    return kind(kind.parameters_type.model_validate(parameters))


# --- reading ------------------------------------------------------------------------------


def test_the_only_column_holds_the_input_whatever_its_name() -> None:
    assert RULES.input_columns(TABLE, ["snapshot"]) == ["snapshot"]


@pytest.mark.parametrize("name", INPUT_NAMES)
def test_a_usual_name_for_the_input_is_known_in_any_case(name: str) -> None:
    column = name.title()
    assert RULES.input_columns(TABLE, ["weight", column, "person"]) == [column]


def test_the_first_of_two_usual_names_is_taken() -> None:
    assert RULES.input_columns(TABLE, ["file", "path"]) == ["file"]


def test_a_table_whose_input_is_not_clear_is_refused_with_its_columns() -> None:
    message = r"labels\.csv: give --input, .*; the table has 'weight', 'person'"
    with pytest.raises(InvalidInputError, match=message):
        RULES.input_columns(TABLE, ["weight", "person"])


def test_a_cell_is_the_path_of_a_file_beside_the_table() -> None:
    assert RULES.row_value(["path"], [" pictures/1.png "], Path("data")) == Path(
        "data/pictures/1.png"
    )


def test_two_texts_of_a_row_are_a_pair_and_an_empty_cell_is_an_empty_text() -> None:
    rules, folder = TextRules(), Path("data")
    assert rules.row_value(["text"], ["hello"], folder) == "hello"
    assert rules.row_value(["text"], [None], folder) == ""
    assert rules.row_value(["a", "b"], ["hello", 5], folder) == {"text": "hello", "text_pair": "5"}


def test_arrays_are_no_scene_unless_a_modality_says_so() -> None:
    assert RULES.scene_rows(TABLE, np.zeros((4, 4, 3)), np.zeros((4, 4))) is None


def test_arrays_are_refused_for_a_modality_that_takes_files() -> None:
    message = "arrays are not taken for video; give files or a table"
    with pytest.raises(InvalidInputError, match=message):
        prepare_array(np.zeros((4, 4)), preprocessor(Modality.VIDEO))


def test_an_array_of_grey_pixels_may_have_an_axis_of_one_channel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    picture = preprocessor(Modality.IMAGE, height=32, width=32)
    [flat] = prepare_array(pixels, picture).samples
    [deep] = prepare_array(pixels[..., None], picture).samples
    assert flat["pixels"].shape == (32, 32, 3)
    assert_array_equal(flat["pixels"], deep["pixels"])


def test_an_array_of_colours_is_taken_as_a_picture() -> None:
    red = np.zeros((40, 40, 3), np.uint8)
    red[..., 0] = 255
    [sample] = prepare_array(red, preprocessor(Modality.IMAGE)).samples
    assert sample["pixels"].reshape(-1, 3).mean(axis=0).tolist() == [255, 0, 0]


def test_an_array_is_prepared_as_the_npy_file_it_would_be() -> None:
    points = np.random.default_rng(0).normal(size=(2000, 3))
    cloud = preprocessor(Modality.POINTCLOUD)
    file = io.BytesIO()
    np.save(file, points)
    [wanted] = cloud.prepare(cloud.decode(file.getvalue())).samples
    [found] = prepare_array(points, cloud).samples
    assert wanted.keys() == found.keys()
    for name, array in wanted.items():
        assert_array_equal(found[name], array)


def test_a_lone_spectrum_is_a_row_of_one() -> None:
    spectra = preprocessor(Modality.HYPERSPECTRAL, window=1, bands=20)
    spectrum = np.linspace(0, 1, 20)
    found = prepare_array(spectrum, spectra).samples
    wanted = prepare_array(spectrum[None], spectra).samples
    assert len(found) == len(wanted) == 1
    assert_array_equal(found[0]["window"], wanted[0]["window"])


# --- the tokenizer ------------------------------------------------------------------------


def test_data_decides_no_parameter_unless_a_modality_says_so() -> None:
    assert RULES.parameters_from_data([Row("row 1", "x", "dark")], IMAGE, ()) == {}


def test_inputs_of_the_base_s_shape_need_no_other_tokenizer() -> None:
    assert not RULES.needs_own_tokenizer(preprocessor(Modality.IMAGE, resize="stretch"), IMAGE)


def test_inputs_of_another_shape_are_refused_with_both() -> None:
    head: HeadSpec = classification(
        "image/light", "dark", "light", parameters={"height": 64, "width": 64}
    )
    message = (
        r"the tokenizer for image takes pixels \(64, 64, 3\), these parameters make "
        r"pixels \(32, 96, 3\)"
    )
    with pytest.raises(InvalidParameterError, match=message):
        RULES.needs_own_tokenizer(preprocessor(Modality.IMAGE, height=32, width=96), head)


def test_parameters_are_compared_with_their_defaults_filled_in() -> None:
    tokens = preprocessor(Modality.TEXT, max_tokens=64)
    assert not parameters_differ(tokens, dict(tokens.parameters))
    assert not parameters_differ(tokens, {"max_tokens": 64})
    assert parameters_differ(tokens, {"max_tokens": 64, "pair": True})
    assert parameters_differ(tokens, {})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    directory = adapt_data.tiny_base(tmp_path_factory.mktemp("base") / "checkpoint", Modality.TEXT)
    return load_base(directory, Modality.TEXT)


@pytest.mark.parametrize(("shape", "copied"), [((4, 6), True), ((4, 5), False), ((24,), False)])
def test_a_projection_starts_from_the_base_s_only_where_shapes_are_equal(
    base: Base, shape: tuple[int, ...], copied: bool
) -> None:
    known = torch.arange(24.0).reshape(4, 6)
    own = torch.full(shape, -1.0)
    task = TaskData(
        route="text/topic",
        family=base.head.family,
        preprocess=base.head.preprocess,
        splits={},
        metric="accuracy",
        test_name="any",
        sources=(),
    )
    RULES.start_projection(own, known, base, task)
    assert torch.equal(own, known) if copied else bool((own == -1).all())


def test_samples_are_not_varied_unless_a_modality_says_so() -> None:
    assert RULES.augmentation([{"pixels": np.zeros((4, 4, 3))}]) is None


def test_a_head_is_chosen_from_features_tokens_and_both() -> None:
    features, tokens, both = RULES.summaries
    known: set[Summary] = {"cls", "mean", "token_mean", "token_max", "token_deviation"}
    assert set(features) | set(tokens) == set(both) == known
    assert not set(features) & set(tokens)
