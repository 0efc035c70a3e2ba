"""Prometheus' own programs on the project's configuration and alerts."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.documents import ROOT
from tests.support.outside_services.prometheus import FOLDER, tool

DOCUMENTED = re.findall(
    r"^promtool (.+)$", (ROOT / "docs" / "observability.md").read_text(), flags=re.MULTILINE
)
RULES = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]


def promtool(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [tool("promtool"), *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [*DOCUMENTED, "check config deploy/prometheus/prometheus.yml"])
def test_promtool_finds_nothing_wrong(words: str) -> None:
    ended = promtool(*words.split())
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "SUCCESS" in ended.stdout


def test_the_tests_of_the_alerts_are_documented() -> None:
    assert "test rules deploy/prometheus/alerts_test.yml" in DOCUMENTED


def test_every_alert_is_tried() -> None:
    tried = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    raised = {
        rule["alertname"]
        for test in tried
        for rule in test.get("alert_rule_test", [])
        if rule["exp_alerts"]
    }
    assert raised == {rule["alert"] for rule in RULES}


def _expects(test: dict[str, Any], alert: str) -> bool:
    """Whether a test of promtool's says when this alert is raised."""
    return any(
        expected["alertname"] == alert and expected["exp_alerts"]
        for expected in test.get("alert_rule_test", [])
    )


@pytest.mark.parametrize("rule", range(len(RULES)), ids=[rule["alert"] for rule in RULES])
def test_the_tests_of_the_alerts_notice_an_alert_that_never_comes(
    rule: int, tmp_path: Path
) -> None:
    alerts = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    alerts["groups"][0]["rules"][rule]["expr"] = "vector(1) < 0"
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(alerts))
    tests = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())
    tests["tests"] = [test for test in tests["tests"] if _expects(test, RULES[rule]["alert"])]
    (tmp_path / "alerts_test.yml").write_text(yaml.safe_dump(tests))
    assert promtool("test", "rules", "alerts_test.yml", cwd=tmp_path).returncode == 1


def test_the_targets_are_those_of_the_compose_file() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    targets = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]
    }
    assert targets == {"gateway": ["gateway:8082"], "triton": ["triton:8002"]}
