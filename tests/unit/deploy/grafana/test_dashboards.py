from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana import dashboards
from service.app import create_app
from service.settings import Settings
from tests.support.documents import ROOT

FILES = sorted(dashboards.FOLDER.glob("*.json"))
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
PROVISIONING = dashboards.HERE / "provisioning"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_the_files_are_those_that_the_description_makes() -> None:
    assert {path: path.read_text() for path in FILES} == dashboards.expected()


def test_a_file_that_was_changed_by_hand_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dashboards, "HERE", tmp_path)
    monkeypatch.setattr(dashboards, "FOLDER", tmp_path)

    def run(*options: str) -> int:
        monkeypatch.setattr("sys.argv", ["dashboards.py", *options])
        return dashboards.main()

    assert run("--check") == 1
    assert run() == 0
    assert run("--check") == 0
    capsys.readouterr()
    (tmp_path / "errors.json").write_text("{}")
    (tmp_path / "strange.json").write_text("{}")
    assert run("--check") == 1
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == [
        "errors.json",
        "strange.json",
    ]
    assert run() == 0
    assert not (tmp_path / "strange.json").exists()
    assert run("--check") == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_panels_lie_beside_each_other(path: Path) -> None:
    places = [panel["gridPos"] for panel in read(path)["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in itertools.combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def test_names_are_given_once() -> None:
    pages = [read(path) for path in FILES]
    for key in ("uid", "title"):
        assert len({page[key] for page in pages}) == len(pages)
    for page in pages:
        for key in ("id", "title"):
            assert len({panel[key] for panel in page["panels"]}) == len(page["panels"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_word_of_a_query_is_replaced_by_a_choice_that_is_there(path: Path) -> None:
    page = read(path)
    choices = {variable["name"] for variable in page["templating"]["list"]}
    for panel in page["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            named = set(re.findall(r"\$(\w+)", target["expr"]))
            assert named <= choices | {"__rate_interval"}
            assert not re.search(r"\b(RATE|HERE|ROUTE|MODEL)\b", target["expr"])


def test_dashboards_and_alerts_ask_for_metrics_that_a_gateway_has() -> None:
    known = set()
    for runtime in ("embedded", "triton"):
        settings = Settings(
            runtime=runtime,
            shared_state_url="redis://127.0.0.1",
            response_cache_mib=1,
            jobs_store="sqlite",
            payload_log="http://127.0.0.1",
            feedback_answers=1,
            drift_share=1,
        )
        for one in create_app(settings).state.gateway.metrics.described:
            suffixes = ("_bucket", "_sum", "_count") if one.kind == "histogram" else ("",)
            known |= {one.name + suffix for suffix in suffixes}
    text = "".join(path.read_text() for path in (*FILES, ALERTS))
    # Names of our own in labels of dashboards are not metrics.
    asked = set(re.findall(r"\bomnivec2_\w+", text))
    assert asked - known == set()
    # And what is measured is shown.
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in known} - shown == {
        "omnivec2_max_queue_rows"
    }


def test_provisioning_names_the_data_source_that_dashboards_begin_with() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    for path in FILES:
        first = read(path)["templating"]["list"][0]
        assert first["query"] == source["type"]
        assert first["current"]["value"] == source["uid"]
    scraping = yaml.safe_load((ALERTS.parent / "prometheus.yml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == scraping["scrape_interval"]
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards" / "omnivec2.yml").read_text())[
        "providers"
    ]
    assert provider["options"]["path"] in (ROOT / "docs" / "observability.md").read_text()
