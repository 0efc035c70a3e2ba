from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter

from omnivec2.errors import ArtifactError, InvalidInputError
from omnivec2.spec import Modality
from omnivec2.training.data.base import TargetForm, preprocess_spec
from omnivec2.training.data.blocks.examples import Example, Origin
from omnivec2.training.data.blocks.targets import AnyTarget

KIND = TypeAdapter(AnyTarget)
SPEC = preprocess_spec(Modality.TEXT)


def parse(kind, *raws):
    return [kind.parse(Example("input", raw, Origin("a.csv", 1))) for raw in raws]


def fitted(kind, *raws):
    parsed = parse(kind, *raws)
    return kind.fit(parsed, SPEC, None), parsed


def test_classes_are_numbered_by_name_and_numbers_by_value():
    kind = KIND.validate_python("class")
    found, parsed = fitted(kind, "10", "9", {"label": 2.0}, "no class")
    assert found.labels == ("2", "9", "10", "no class")
    assert found.encode(parsed, []).tolist() == [2, 1, 0, 3]


def test_classes_may_be_renamed_and_ordered():
    kind = KIND.validate_python({"kind": "class", "names": {1: "good", 0: "bad"}})
    found, parsed = fitted(kind, "0", "1", "1")
    assert found.labels == ("good", "bad")
    assert found.encode(parsed, []).tolist() == [1, 0, 0]
    with pytest.raises(InvalidInputError, match="'2' is none of 1, 0"):
        parse(kind, "2")


def test_a_class_that_was_not_trained_is_told():
    found, _ = fitted(KIND.validate_python("class"), "cat", "dog")
    assert found.unknown("cat") is None
    assert "did you mean dog" in found.unknown("dgo")


def test_one_class_is_none_to_learn():
    with pytest.raises(ArtifactError, match="two or more"):
        fitted(KIND.validate_python("class"), "a", "a")


def test_quantities_as_classes_are_refused_with_what_is_meant():
    with pytest.raises(ArtifactError, match="did you mean target: numbers"):
        fitted(KIND.validate_python("class"), *(f"{n / 7:.3f}" for n in range(300)))


@pytest.mark.parametrize(
    "raws",
    [
        ({"sea": 1, "snow": 0}, {"sea": "yes", "snow": "True"}, {"sea": "", "snow": 0.0}),
        ("sea", "snow, sea", ""),
        (["sea"], ["snow", "sea"], []),
        ({"topics": "sea"}, {"topics": "sea,snow"}, {"topics": None}),
    ],
)
def test_tags_are_columns_texts_or_lists(raws):
    found, parsed = fitted(KIND.validate_python("tags"), *raws)
    assert found.form is TargetForm.MULTI_LABEL
    assert found.labels == ("sea", "snow")
    assert found.encode(parsed, []).tolist() == [[1, 0], [1, 1], [0, 0]]
    assert found.encode(parsed, []).dtype == np.uint8


def test_a_cell_of_a_tag_is_yes_or_no():
    with pytest.raises(InvalidInputError, match="'sea': expected 0 or 1, got 'perhaps'"):
        parse(KIND.validate_python("tags"), {"sea": "perhaps", "snow": 1})


def test_quantities_keep_names_units_and_values():
    kind = KIND.validate_python({"kind": "numbers", "units": {"t": "K"}, "names": {"t_raw": "t"}})
    found, parsed = fitted(kind, {"t_raw": "1.5", "p": 2}, {"t_raw": 3, "p": -1})
    assert [(one.name, one.unit) for one in found.targets] == [("t", "K"), ("p", "")]
    encoded = found.encode(parsed, [])
    assert encoded.dtype == np.float32
    assert encoded.tolist() == [[1.5, 2], [3, -1]]


@pytest.mark.parametrize("raw", ["", None, "much", "nan", float("inf")])
def test_what_is_no_finite_number_is_no_quantity(raw):
    with pytest.raises(InvalidInputError, match="'t'"):
        parse(KIND.validate_python("numbers"), {"t": raw})


def test_a_quantity_that_never_changes_is_refused():
    with pytest.raises(ArtifactError, match="nothing to learn"):
        fitted(KIND.validate_python("numbers"), {"t": 1}, {"t": 1})


def test_texts_to_write_keep_all_references_and_ids_of_the_first():
    kind = KIND.validate_python("text")
    found, (parsed,) = fitted(kind, {"one": "a short text", "two": "another", "three": None})
    assert parsed.references == ("a short text", "another")
    assert parsed.source == "input"
    ids = found.sample_arrays(parsed)["target_ids"]
    assert ids.dtype == np.int32
    assert len(ids) == 4
