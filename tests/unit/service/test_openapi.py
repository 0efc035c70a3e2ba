from __future__ import annotations

import re
from typing import Any

import pytest

from omnivec2.postprocess import postprocessor_for
from omnivec2.preprocess import preprocessor_for
from service.app import create_app
from service.openapi import build
from service.runtimes.base import Model
from service.settings import Settings
from service.stages import Head
from tests.support.tiny_models import tiny_heads

HEADS = {
    spec.route: Head(Model(spec), preprocessor_for(spec), postprocessor_for(spec.family))
    for spec in tiny_heads()
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return build(create_app(Settings()), HEADS)


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if "$ref" in value else set()
        return own.union(*(references(v) for v in value.values()))
    if isinstance(value, list):
        return set().union(*(references(v) for v in value))
    return set()


@pytest.mark.parametrize("route", HEADS)
def test_every_head_has_a_documented_operation_with_an_example(
    document: dict[str, Any], route: str
) -> None:
    operation = document["paths"][f"/predict/{route}"]["post"]
    spec = HEADS[route].spec
    assert operation["operationId"] == spec.name
    assert spec.description in operation["description"]
    content = operation["requestBody"]["content"]
    assert content["application/json"]["example"]["inputs"]
    assert set(HEADS[route].preprocessor.media_types) <= set(content)
    assert {"200", "404", "413", "415", "422", "429", "503", "504"} <= set(operation["responses"])


def test_the_parameterised_route_is_not_documented_beside_the_real_ones(
    document: dict[str, Any],
) -> None:
    assert "/predict/{modality}/{task}" not in document["paths"]


def test_every_modality_has_an_operation_for_several_tasks(document: dict[str, Any]) -> None:
    for modality in {head.spec.modality.value for head in HEADS.values()}:
        operation = document["paths"][f"/predict/{modality}"]["post"]
        tasks = sorted(h.spec.task for h in HEADS.values() if h.spec.modality.value == modality)
        (query,) = (p for p in operation["parameters"] if p["in"] == "query")
        assert query["schema"]["items"]["enum"] == tasks
        answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
        assert sorted(answer["properties"]) == tasks


def test_the_operation_that_takes_tensors_is_documented(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v2/models/{name}/infer"]["post"]
    both = {"application/json", "application/octet-stream"}
    assert set(operation["requestBody"]["content"]) == both
    assert set(operation["responses"]["200"]["content"]) == both
    assert {"404", "413", "415", "422", "429", "503", "504"} < set(operation["responses"])
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert {"name", "X-Request-Timeout", "Inference-Header-Content-Length"} <= names


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    targets = {ref.removeprefix("#/components/schemas/") for ref in references(document)}
    assert targets
    assert targets <= schemas.keys()


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(ids) == len(set(ids))


def test_the_description_says_how_good_it_is_and_on_what_data(document: dict[str, Any]) -> None:
    text = document["paths"]["/predict/text/sentiment"]["post"]["description"]
    assert re.search(r"accuracy\*\* 0\.5 on made up", text)
    assert "CC0-1.0" in text
