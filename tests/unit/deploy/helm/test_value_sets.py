"""Values are accepted or refused by the schema; documented commands are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from deploy.helm.value_sets import NEEDS, VALUE_SETS, documented_installs
from tests.support.documents import ROOT

CHART = ROOT / "deploy" / "helm" / "omnivec2"
SCHEMA = Draft7Validator(json.loads((CHART / "values.schema.json").read_text("utf-8")))


def problems(values: Any) -> list[str]:
    return [error.message for error in SCHEMA.iter_errors(values)]


SHIPPED = [CHART / "values.yaml", *VALUE_SETS.values()]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_values_that_are_shipped_are_accepted(path: Path) -> None:
    assert problems(yaml.safe_load(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "values",
    [
        {"mode": "cloud"},
        {"replicas": 3},
        {"gateway": {"settings": {"max_pending_requests": 0}}},
        {"gateway": {"settings": {"max_pending_request": 5}}},
        {"gateway": {"settings": {"port": 80}}},
        {"gateway": {"resources": {"limits": {"memory": "much"}}}},
        {"triton": {"pools": {"Big": {}}}},
        {"triton": {"pools": {"a": {"replica": 1}}}},
        {"commonLabels": {"app.kubernetes.io/name": "mine"}},
        {"httpRoute": {"enabled": True, "parentRefs": []}},
        {"ingress": {"enabled": True, "hosts": []}},
    ],
    ids=json.dumps,
)
def test_nonsense_is_refused(values: dict[str, Any]) -> None:
    assert problems(values)


def test_a_value_set_that_needs_a_newer_kubernetes_exists() -> None:
    assert NEEDS.keys() <= VALUE_SETS.keys()


def test_documented_commands_are_joined_and_stripped_of_what_templates_lack() -> None:
    text = (
        "Text: helm install not this\n```bash\nkubectl get pods\n"
        "helm install a deploy/helm/omnivec2 --namespace b --create-namespace \\\n"
        "  --set mode=triton\n"
        "helm upgrade --install a deploy/helm/omnivec2 --reuse-values --values my.yaml\n```\n"
        "```yaml\nhelm install c d --set e=f\n```\n"
    )
    assert documented_installs(text) == [["--set", "mode=triton"], ["--values", "my.yaml"]]


def test_the_page_about_kubernetes_documents_installations() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    assert len(documented_installs(page)) >= 5
