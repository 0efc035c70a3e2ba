"""The checks of the chart see what is wrong, and never pass because they could not look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.compose.container_engine import VerifyError
from deploy.helm import gateway_api, pod, policy, programs, verify_chart
from deploy.helm.object_models import unknown_names
from deploy.helm.value_sets import GOLDEN


def finding(check: str, resource: str) -> dict[str, str]:
    return {"check_id": check, "check_name": "a name", "resource": resource, "file_path": "/a.yaml"}


def checkov(folder: Path, report: object) -> Path:
    """Write a program that prints a report of Checkov's, and return its path."""
    program = folder / "checkov"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(report)}\nEND\nexit 1\n")
    program.chmod(0o755)
    return program


def report(*findings: dict[str, str]) -> dict[str, Any]:
    return {"summary": {"passed": 9}, "results": {"failed_checks": list(findings)}}


def test_a_finding_with_a_reason_is_accepted(tmp_path: Path) -> None:
    program = checkov(tmp_path, report(finding("CKV_K8S_8", "Pod.inference.a-test")))
    assert policy.check_policies(program, tmp_path) == "9 checks passed, 1 findings accepted"


def test_the_same_finding_on_another_kind_is_not_accepted(tmp_path: Path) -> None:
    program = checkov(tmp_path, report(finding("CKV_K8S_8", "Deployment.inference.a")))
    with pytest.raises(VerifyError, match=r"1 findings: CKV_K8S_8 .*Deployment.inference.a"):
        policy.check_policies(program, tmp_path)


@pytest.mark.parametrize("said", [[], {}, {"summary": {"passed": 0}, "results": {}}])
def test_a_report_without_checks_is_a_failure(tmp_path: Path, said: object) -> None:
    with pytest.raises(VerifyError):
        policy.check_policies(checkov(tmp_path, said), tmp_path)


def test_names_that_a_model_drops_are_found_at_any_depth() -> None:
    given = {"spec": {"triggers": [{"type": "a"}, {"type": "b", "wight": 1}]}, "extra": None}
    known = {"spec": {"triggers": [{"type": "a"}, {"type": "b"}]}}
    assert list(unknown_names(given, known)) == [
        "spec.triggers[1].wight: unknown name",
        "extra: unknown name",
    ]


def test_routes_become_typed_literals() -> None:
    (route, *_) = gateway_api.routes((GOLDEN / "production.yaml").read_text("utf-8"))
    text = gateway_api.program([route])
    assert f"import {{ {route['kind']} as Model0 }}" in text
    assert '"hostnames"' in text
    assert "new Model0(object0).validate();" in text


def test_no_routes_at_all_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(VerifyError, match="no value set makes a route"):
        gateway_api.check_routes([], tmp_path)


def test_the_pod_changes_only_in_addresses_ports_and_probes() -> None:
    text = (GOLDEN / "small.yaml").read_text("utf-8")
    config, deployment = yaml.safe_load_all(pod.for_this_machine(text, (1, 2, 3)))
    whole = {d["kind"]: d for d in yaml.safe_load_all(text) if d and d["kind"] != "Service"}
    changed = {k for k, v in config["data"].items() if whole["ConfigMap"]["data"][k] != v}
    names = ("HOST", "PORT", "GRPC_PORT", "METRICS_PORT")
    assert changed == {f"OMNIVEC2_{name}" for name in names}
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (original,) = whole["Deployment"]["spec"]["template"]["spec"]["containers"]
    probes = {"startupProbe", "livenessProbe", "readinessProbe"}
    assert original.keys() - container.keys() == {"ports", *probes}
    assert all(original[name] == value for name, value in container.items())


def test_a_machine_without_npm_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VerifyError, match="npm is not installed"):
        programs.install(tmp_path)


def test_a_golden_file_that_differs_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden, rendered = tmp_path / "golden", tmp_path / "rendered"
    rendered.mkdir()
    monkeypatch.setattr(verify_chart, "GOLDEN", golden)
    (rendered / "small.yaml").write_text("replicas: 1\n")
    verify_chart.compare_golden(rendered, update=True)
    assert verify_chart.compare_golden(rendered, update=False) == "1 are the same"
    (rendered / "small.yaml").write_text("replicas: 2\n")
    with pytest.raises(VerifyError, match=r"(?s)small.yaml differs.*-replicas: 1.*\+replicas: 2"):
        verify_chart.compare_golden(rendered, update=False)


def test_the_grace_period_is_that_of_the_deployment() -> None:
    assert verify_chart.grace_seconds((GOLDEN / "small.yaml").read_text("utf-8")) == 48
