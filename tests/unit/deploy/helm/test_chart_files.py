"""The chart's generated files follow the code, and every value is described."""

from __future__ import annotations

import json

import pytest
import yaml

from deploy.helm.chart_files import (
    CHART,
    CHART_SETS,
    described_values,
    outdated,
    readme,
    schema,
    values_table,
    wanted,
)
from service.settings import Settings

VALUES = (CHART / "values.yaml").read_text("utf-8")


def test_the_generated_files_are_up_to_date() -> None:
    assert outdated(wanted()) == []


def test_a_copy_whose_source_is_gone_is_out_of_date() -> None:
    files = wanted()
    dashboard = next(path for path in files if path.suffix == ".json" and "dashboards" in str(path))
    del files[dashboard]
    assert outdated(files) == [dashboard]


def test_the_schema_has_every_setting_that_the_chart_does_not_set() -> None:
    text = (CHART / "values.schema.json").read_text("utf-8")
    settings = json.loads(schema(text))["$defs"]["settings"]
    assert set(settings["properties"]) == set(Settings.model_fields) - CHART_SETS
    assert settings["additionalProperties"] is False
    assert settings["properties"]["max_pending_requests"]["minimum"] == 1


def test_every_value_is_described_once() -> None:
    names = [name for name, _, _ in described_values(VALUES)]
    assert len(names) == len(set(names))
    assert {"mode", "gateway.drain.seconds", "triton.defaults.plans.build"} <= set(names)


def test_described_defaults_are_those_of_the_file() -> None:
    values = yaml.safe_load(VALUES)
    for name, default, _ in described_values(VALUES):
        found = values
        for part in name.split("."):
            found = found[part]
        assert found == default, name


def test_a_value_without_a_comment_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gateway\.replicas has no comment"):
        list(described_values("gateway:\n  # A name.\n  name: a\n  replicas: 2\n"))


def test_the_table_is_replaced_and_the_rest_is_kept() -> None:
    text = "# Title\n<!-- generated: values -->\nold\n<!-- end: values -->\nafter\n"
    made = readme(text, "# How many.\nreplicas: 2\n")
    assert made.startswith("# Title\n")
    assert made.endswith("after\n")
    assert "| `replicas` | `2` | How many. |" in made
    assert "old" not in made


def test_a_bar_in_a_default_does_not_end_a_cell() -> None:
    assert '`"a\\|b"`' in values_table("# A pattern.\npattern: a|b\n")
