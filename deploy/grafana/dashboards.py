"""Write Grafana's JSON of the dashboards in ``dashboards.yml``.

::

    python deploy/grafana/dashboards.py            write dashboards/*.json
    python deploy/grafana/dashboards.py --check    fail if they are out of date, and write nothing

A test runs every query against a real Prometheus (tests/integration/monitoring/test_dashboards.py).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "dashboards.yml"
FOLDER = HERE / "dashboards"

Json = dict[str, Any]

# Placeholders of dashboards.yml -> PromQL.
_PLACEHOLDERS: Mapping[str, str] = {
    "RATE": "$__rate_interval",
    "ROUTE": 'instance=~"$instance", modality=~"$modality", task=~"$task"',
    "MODEL": 'instance=~"$instance", model=~"$model"',
    "HERE": 'instance=~"$instance"',
}

_DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_SCHEMA_VERSION = 39
_COLUMNS = 24
_HEIGHTS = {"stat": 4, "table": 10}
_HEIGHT = 8
_STACKED = {"fillOpacity": 30, "stacking": {"mode": "normal", "group": "A"}}

# Grafana's options of each kind of panel.
_OPTIONS: Mapping[str, Json] = {
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "right", "calcs": ["mean", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"},
    "heatmap": {"calculate": False, "yAxis": {"unit": "s"}, "color": {"scheme": "Blues"}},
    "table": {"showHeader": True},
}


def render(dashboard: Json) -> Json:
    """Return a dashboard in Grafana's form."""
    return {
        "uid": f"omnivec2-{dashboard['name']}",
        "title": dashboard["title"],
        "description": dashboard["description"],
        "tags": ["omnivec2"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [
            {"type": "dashboards", "tags": ["omnivec2"], "title": "Others", "keepTime": True}
        ],
        "templating": {"list": list(_variables(dashboard["variables"]))},
        "panels": _panels(dashboard["panels"]),
    }


def _variables(labels: Mapping[str, str]) -> Iterator[Json]:
    """Yield the data source and the labels; each label's values depend on earlier choices."""
    yield {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": "prometheus"},
    }
    before: list[str] = []
    for label, metric in labels.items():
        yield {
            "name": label,
            "label": label.capitalize(),
            "type": "query",
            "datasource": _DATA_SOURCE,
            "query": f"label_values({metric}{{{', '.join(before)}}}, {label})",
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }
        before.append(f'{label}=~"${label}"')


def _panels(panels: Sequence[Json]) -> list[Json]:
    """Place the panels from left to right and from top to bottom."""
    rendered = []
    x = y = row_height = 0
    for number, panel in enumerate(panels, 1):
        kind = panel.get("kind", "timeseries")
        width, height = panel.get("width", _COLUMNS // 2), _HEIGHTS.get(kind, _HEIGHT)
        if x + width > _COLUMNS:
            x, y, row_height = 0, y + row_height, 0
        place = {"x": x, "y": y, "w": width, "h": height}
        rendered.append({"id": number, "gridPos": place, **_panel(panel, kind)})
        x, row_height = x + width, max(row_height, height)
    return rendered


def _panel(panel: Json, kind: str) -> Json:
    queries = panel["queries"].items()
    targets = [
        _target(chr(ord("A") + number), legend, query, kind)
        for number, (legend, query) in enumerate(queries)
    ]
    defaults: Json = {"unit": panel["unit"]}
    if kind == "timeseries":
        custom: Json = {"showPoints": "never", "spanNulls": False}
        defaults |= {"min": 0, "custom": custom | (_STACKED if panel.get("stacked") else {})}
    rendered = {
        "type": kind,
        "title": panel["title"],
        "description": panel.get("description", ""),
        "datasource": _DATA_SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _OPTIONS[kind],
        "targets": targets,
    }
    if kind == "table":
        hidden = {"Time": True, "Value": True}
        rendered["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden}}]
    return rendered


def _target(name: str, legend: str, query: str, kind: str) -> Json:
    for placeholder, promql in _PLACEHOLDERS.items():
        query = query.replace(placeholder, promql)
    target: Json = {"refId": name, "datasource": _DATA_SOURCE, "expr": query}
    if kind == "table":
        return target | {"format": "table", "instant": True}
    if kind == "heatmap":
        return target | {"format": "heatmap", "legendFormat": legend}
    return target | {"legendFormat": legend}


def expected() -> dict[Path, str]:
    """Return the expected text of every file."""
    return {
        FOLDER / f"{dashboard['name']}.json": json.dumps(render(dashboard), indent=1) + "\n"
        for dashboard in yaml.safe_load(SOURCE.read_text("utf-8"))
    }


def main() -> int:
    """Write the files, or print which are out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if out of date")
    check = parser.parse_args().check
    texts = expected()
    existing = set(FOLDER.glob("*.json"))
    changed = [p for p, text in texts.items() if p not in existing or p.read_text("utf-8") != text]
    stale = sorted([*changed, *(existing - texts.keys())])
    for path in stale:
        if check:
            print(
                f"{path.relative_to(HERE)} is out of date; run `make dashboards`", file=sys.stderr
            )
        elif path in texts:
            path.write_text(texts[path], "utf-8")
        else:
            path.unlink()
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
