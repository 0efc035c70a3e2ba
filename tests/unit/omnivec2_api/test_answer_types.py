from __future__ import annotations

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import InvalidParameterError
from omnivec2.spec import TaskFamily
from omnivec2_api.answers.answer import Answer
from omnivec2_api.answers.answer_types import (
    ANSWER_TYPES,
    Classification,
    Detection,
    Embedding,
    Forecast,
    Regression,
    Segmentation,
    Summary,
    as_embedding,
    make_answer,
)

CAT = [{"label": "cat", "score": 0.75}, {"label": "dog", "score": 0.25}]
DOG = [{"label": "dog", "score": 0.5}, {"label": "cat", "score": 0.5}]
BOX = {"label": "red", "score": 0.5, "box": {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}}


def test_every_family_has_a_class_of_answers():
    assert set(ANSWER_TYPES) == set(TaskFamily)


def test_the_best_class_is_the_label():
    answer = Classification("image/classification", CAT)
    assert (answer.label, answer.score) == ("cat", 0.75)
    assert answer.scores == {"cat": 0.75, "dog": 0.25}


@pytest.mark.parametrize("value", [[CAT, DOG], [[CAT], [DOG]], [[CAT, DOG]]])
def test_rows_of_parts_and_of_several_inputs_are_found(value):
    rows = Classification("tabular/income", value).rows
    assert [row.label for row in rows] == ["cat", "dog"]
    assert all(isinstance(row, Classification) for row in rows)


def test_the_answer_of_one_text_is_one_row():
    assert Classification("text/sentiment", [CAT]).label == "cat"


def test_the_first_of_several_rows_is_not_taken_for_the_answer():
    with pytest.raises(ValueError, match="2 rows"):
        _ = Classification("tabular/income", [CAT, DOG]).label


def test_a_table_in_hugging_faces_form_has_labels_without_scores():
    first, second = Classification("tabular/income", ["yes", "no"]).rows
    assert (first.label, second.label) == ("yes", "no")
    assert math.isnan(first.score)
    assert first.scores == {}


def test_detections_have_boxes_in_pixels():
    (found,) = Detection("image/detection", [BOX]).objects
    assert (found.label, found.score, found.box) == ("red", 0.5, (1, 2, 3, 4))


def test_no_detections_are_one_empty_row():
    assert Detection("image/detection", []).objects == ()
    assert len(Detection("image/detection", [[], [BOX]]).rows) == 2


def test_a_mask_is_an_array_of_the_pictures_size():
    inside = np.zeros((4, 6), np.uint8)
    inside[1, 2:5] = 255
    stream = io.BytesIO()
    Image.fromarray(inside).save(stream, format="PNG")
    mask = base64.b64encode(stream.getvalue()).decode()
    answer = Segmentation("image/segmentation", [{"label": "sky", "score": 0.5, "mask": mask}])
    (region,) = answer.regions
    assert region.label == "sky"
    assert np.array_equal(region.mask, inside > 0)
    with pytest.raises(ValueError, match="pixels"):
        _ = answer.point_labels


def test_points_have_the_names_of_their_classes():
    answer = Segmentation("pointcloud/parts", {"labels": [1, None, 0], "names": ["leg", "top"]})
    assert answer.point_labels == ("top", None, "leg")
    with pytest.raises(ValueError, match="points"):
        _ = answer.regions


def test_clouds_of_several_inputs_are_rows():
    one = {"labels": [0], "names": ["leg"]}
    assert len(Segmentation("pointcloud/parts", [one, one]).rows) == 2


def test_quantities_have_values_and_units_by_name():
    answer = Regression("graph/x", [{"label": "solubility", "value": -1.5, "unit": "log mol/l"}])
    assert answer.values == {"solubility": -1.5}
    assert answer.units == {"solubility": "log mol/l"}


def test_a_bare_number_has_the_name_of_its_task():
    rows = Regression("tabular/price", [1.0, 2.0]).rows
    assert [row.values for row in rows] == [{"price": 1.0}, {"price": 2.0}]


def test_forecasts_have_quantiles_by_their_levels():
    entry = {"target": "y", "mean": [1.0, 2.0], "quantiles": {"0.1": [0.0, 1.0]}}
    (series,) = Forecast("timeseries/forecast", {"predictions": [entry]}).series
    assert series.target == "y"
    assert series.mean.tolist() == [1.0, 2.0]
    assert series.quantiles[0.1].tolist() == [0.0, 1.0]


def test_a_summary_is_its_text():
    assert Summary("text/summarization", [{"summary_text": "short"}]).text == "short"


def test_numpy_takes_an_embedding_as_a_vector_and_several_as_a_matrix():
    assert np.asarray(Embedding("text/embedding", [[1.0, 0.0]])).shape == (2,)
    several = Embedding("text/embedding", [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    assert np.asarray(several).shape == several.vectors.shape == (3, 2)
    assert several.rows[2].vector.dtype == np.float32


def test_a_family_that_is_new_keeps_its_value():
    answer = make_answer("image/new", "counting", {"count": 3}, [{"code": "cut", "count": 2}], "4")
    assert type(answer) is Answer
    assert answer.value == {"count": 3}
    assert answer.version == "4"
    assert answer.notes[0].to_json() == {"code": "cut", "count": 2, "text": ""}


def test_an_explained_answer_keeps_its_explanations_beside_its_value():
    explanation = {"input": 0, "label": "yes", "segments": [{"start": 0, "end": 4, "value": 0.5}]}
    value = {"answer": [[{"label": "yes", "score": 0.9}]], "explanations": [explanation]}
    answer = make_answer("text/sentiment", "classification", value)
    assert isinstance(answer, Classification)
    assert answer.label == "yes"
    assert answer.explanations == (explanation,)


def test_only_answers_of_embedding_heads_are_embeddings():
    vector = make_answer("text/embedding", "embedding", [0.5])
    assert as_embedding(vector) is vector
    label = make_answer("text/sentiment", "classification", CAT)
    with pytest.raises(InvalidParameterError, match="text/sentiment gives no vectors"):
        as_embedding(label)
