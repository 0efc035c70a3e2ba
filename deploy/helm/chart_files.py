"""Write the parts of the Helm chart that are made from other files: each fact has one place.

- ``files/``: copies of alerts, dashboards and the test, because a chart is packaged alone.
- ``values.schema.json``: the gateway's settings, with their types and bounds.
- ``README.md``: the table of values, from the comments of ``values.yaml``.

With ``--check`` nothing is written, and the exit status is 1 if a file is out of date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from service.settings import Settings

CHART = Path(__file__).resolve().parent / "omnivec2"
DEPLOY = CHART.parents[1]
TABLE = ("<!-- generated: values -->\n", "<!-- end: values -->")

CHART_SETS = frozenset(
    {
        "host",
        "port",
        "grpc_port",
        "metrics_host",
        "metrics_port",
        "model_repo",
        "cache_dir",
        "runtime",
        "triton_endpoints",
        "triton_metrics_port",
        "api_keys_file",
        "shared_state_url",
        "drain_delay_seconds",
        "drain_seconds",
    }
)
"""Settings that follow from other values: the schema refuses them under ``gateway.settings``."""


def packaged_files() -> dict[Path, str]:
    """Return the files that are copied into the chart, with their contents."""
    copies = {
        CHART / "files" / "alerts.yml": DEPLOY / "prometheus" / "alerts.yml",
        CHART / "files" / "ask_service.txt": CHART.parent / "ask_service.py",
    }
    for dashboard in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        copies[CHART / "files" / "dashboards" / dashboard.name] = dashboard
    return {target: source.read_text("utf-8") for target, source in copies.items()}


def schema(text: str) -> str:
    """Return a schema of values in which the gateway's settings are those of the code.

    Args:
        text: The schema as it is.
    """
    document = json.loads(text)
    fields = Settings.model_json_schema()["properties"]
    known = {name: _setting(field) for name, field in fields.items() if name not in CHART_SETS}
    document["$defs"]["settings"] = {
        "description": "Settings of the gateway, without those that the chart sets itself.",
        "type": "object",
        "additionalProperties": False,
        "properties": known,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _setting(field: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a setting without its default and its title."""
    kept = {name: part for name, part in field.items() if name not in ("default", "title")}
    return {**kept, "description": " ".join(field["description"].split())}


def values_table(text: str) -> str:
    """Return a Markdown table of every value with its default and description.

    Args:
        text: The contents of ``values.yaml``.

    Raises:
        ValueError: A value has no comment above it.
    """
    rows = ["| value | default | meaning |", "| --- | --- | --- |"]
    for name, default, meaning in described_values(text):
        shown = json.dumps(default).replace("|", "\\|")
        rows.append(f"| `{name}` | `{shown}` | {meaning} |")
    return "\n".join(rows)


def described_values(text: str) -> Iterator[tuple[str, Any, str]]:
    """Yield the dotted name, the default and the description of every value that has one.

    Args:
        text: The contents of ``values.yaml``.

    Raises:
        ValueError: A value has no comment above it.
    """
    lines = text.splitlines()
    root = yaml.compose(text)
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("values.yaml: expected a mapping")
    yield from _walk(root, lines, ())


def _walk(
    node: yaml.MappingNode, lines: list[str], parents: tuple[str, ...]
) -> Iterator[tuple[str, Any, str]]:
    for key, value in node.value:
        name = (*parents, key.value)
        above = lines[key.start_mark.line - 1].strip()
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from _walk(value, lines, name)
        elif above.startswith("# "):
            yield ".".join(name), _plain(value), above.removeprefix("# ")
        else:
            raise ValueError(f"values.yaml: {'.'.join(name)} has no comment above it")


def _plain(node: yaml.Node) -> Any:
    """Return the value of a node."""
    return yaml.safe_load(yaml.serialize(node))


def readme(text: str, values: str) -> str:
    """Return the chart's README with its table of values written anew.

    Args:
        text: The README as it is.
        values: The contents of ``values.yaml``.
    """
    begin, end = TABLE
    before, _, rest = text.partition(begin)
    after = rest.partition(end)[2]
    return f"{before}{begin}\n{values_table(values)}\n\n{end}{after}"


def wanted() -> dict[Path, str]:
    """Return every generated file with the contents it should have."""
    files = packaged_files()
    files[CHART / "values.schema.json"] = schema((CHART / "values.schema.json").read_text("utf-8"))
    values = (CHART / "values.yaml").read_text("utf-8")
    files[CHART / "README.md"] = readme((CHART / "README.md").read_text("utf-8"), values)
    return files


def outdated(files: Mapping[Path, str]) -> list[Path]:
    """Return the files that differ from what they should be, and copies of files that are gone."""
    changed = [p for p, text in files.items() if not p.exists() or p.read_text("utf-8") != text]
    left = [p for p in (CHART / "files" / "dashboards").glob("*") if p not in files]
    return sorted(changed + left)


def main() -> int:
    """Write or check the files; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing, fail if out of date")
    check = parser.parse_args().check
    files = wanted()
    stale = outdated(files)
    for path in stale:
        if not check and path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], "utf-8")
        elif not check:
            path.unlink()
        state = "is out of date; run make chart" if check else "written"
        sys.stdout.write(f"{path.relative_to(DEPLOY.parent)} {state}\n")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
