from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest

from omnivec2.postprocess import postprocessor_for
from omnivec2.preprocess import preprocessor_for
from service.app import create_app
from service.openapi.document import build
from service.pipeline.host_stages import Head
from service.runtimes.base import Model
from service.settings import Settings
from tests.support.model_repositories.tiny_models import tiny_heads

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


def test_a_list_of_inputs_is_answered_as_documented(document: dict[str, Any]) -> None:
    def answer(route: str) -> dict[str, Any]:
        response = document["paths"][f"/predict/{route}"]["post"]["responses"]["200"]
        return response["content"]["application/json"]["schema"]

    one, several = answer("image/detection")["anyOf"]
    assert several == {"type": "array", "items": one}
    one, explained = answer("text/sentiment")["anyOf"]
    assert one["type"] == "array"
    assert explained["properties"]["answer"] == one
    assert explained["required"] == ["answer", "explanations"]
    asks = {
        route: any(
            parameter["name"] == "explain"
            for parameter in document["paths"][f"/predict/{route}"]["post"]["parameters"]
        )
        for route in ("text/sentiment", "text/embedding")
    }
    assert asks == {"text/sentiment": True, "text/embedding": False}
    assert answer("image/embedding")["type"] == "array"


def test_routes_of_models_name_the_loaded_ones_and_their_failures(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v2/models/{name}"]["get"]
    (name,) = (p for p in operation["parameters"] if p["name"] == "name")
    assert name["schema"]["enum"] == sorted(head.spec.name for head in HEADS.values())
    assert operation["responses"].keys() == {"200", "404", "503"}
    assert document["paths"]["/healthz"]["get"]["responses"].keys() == {"200"}


def test_the_example_of_tensors_fits_its_model(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v2/models/{name}/infer"]["post"]
    (name,) = (p["example"] for p in operation["parameters"] if "example" in p)
    (spec,) = (head.spec for head in HEADS.values() if head.spec.name == name)
    inputs = operation["requestBody"]["content"]["application/json"]["example"]["inputs"]
    assert [(i["name"], i["shape"]) for i in inputs] == [
        (tensor.name, [1, *tensor.shape]) for tensor in spec.inputs
    ]
    assert all(len(i["data"]) == math.prod(i["shape"]) for i in inputs)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    targets = {ref.removeprefix("#/components/schemas/") for ref in references(document)}
    assert targets
    assert targets <= schemas.keys()


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(ids) == len(set(ids))


def test_the_description_says_which_heads_are_experimental(document: dict[str, Any]) -> None:
    doubtful = HEADS["text/sentiment"]
    spec = doubtful.spec.model_copy(update={"experimental": True})
    head = replace(doubtful, model=Model(spec))
    marked = build(create_app(Settings()), {"text/sentiment": head})
    texts = [
        every["paths"]["/predict/text/sentiment"]["post"]["description"]
        for every in (document, marked)
    ]
    assert ["Experimental" in text for text in texts] == [False, True]


def test_the_description_says_how_good_it_is_and_on_what_data(document: dict[str, Any]) -> None:
    text = document["paths"]["/predict/text/sentiment"]["post"]["description"]
    assert re.search(r"accuracy\*\* 0\.5 on made up", text)
    assert "CC0-1.0" in text


def schema_of_parameters(document: dict[str, Any], route: str) -> dict[str, Any]:
    content = document["paths"][f"/predict/{route}"]["post"]["requestBody"]["content"]
    reference = content["application/json"]["schema"]["properties"]["parameters"]["$ref"]
    return document["components"]["schemas"][reference.rpartition("/")[2]]


@pytest.mark.parametrize("route", HEADS)
def test_what_can_be_stated_of_an_input_is_among_the_parameters(
    document: dict[str, Any], route: str
) -> None:
    head = HEADS[route]
    wanted = {
        *head.postprocessor.parameters_type.model_fields,
        *head.preprocessor.source_options_type.model_fields,
    }
    assert set(schema_of_parameters(document, route)["properties"]) == wanted


def test_texts_can_be_refused_rather_than_cut(document: dict[str, Any]) -> None:
    assert "truncate" in schema_of_parameters(document, "text/sentiment")["properties"]
    several = document["paths"]["/predict/text"]["post"]["requestBody"]["content"]
    properties = several["application/json"]["schema"]["properties"]["parameters"]["properties"]
    assert "truncate" in properties


def test_the_form_of_tables_is_documented(document: dict[str, Any]) -> None:
    content = document["paths"]["/predict/tabular/income"]["post"]["requestBody"]["content"]
    schema = content["application/json"]["schema"]
    assert set(schema["properties"]) == {"inputs", "parameters", "table"}
    assert {"required": ["table"]} in schema["oneOf"]


def test_notes_are_documented(document: dict[str, Any]) -> None:
    operation = document["paths"]["/predict/text/sentiment"]["post"]
    assert "X-Notes" in operation["responses"]["200"]["headers"]
    assert "X-Strict" in {parameter["name"] for parameter in operation["parameters"]}
    assert "notes" in document["components"]["schemas"]["Problem"]["properties"]


@pytest.mark.parametrize("route", HEADS)
def test_an_operation_says_what_it_expects(document: dict[str, Any], route: str) -> None:
    assert "**Expects:**" in document["paths"][f"/predict/{route}"]["post"]["description"]


def test_answers_may_come_in_events_and_from_the_cache(document: dict[str, Any]) -> None:
    for path in ("/predict/text/sentiment", "/predict/text"):
        operation = document["paths"][path]["post"]
        assert "text/event-stream" in operation["responses"]["200"]["content"]
        assert "Cache-Status" in operation["responses"]["200"]["headers"]
        assert "Cache-Control" in {entry["name"] for entry in operation["parameters"]}
    infer = document["paths"]["/v2/models/{name}/infer"]["post"]
    assert "Cache-Control" not in {entry["name"] for entry in infer["parameters"]}
