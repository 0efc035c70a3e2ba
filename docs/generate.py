"""Write the generated sections of the documents: tables and lists made from the code.

Each section stands between ``<!-- generated: NAME -->`` and ``<!-- end: NAME -->``, outside of
Markdown between ``# generated: NAME`` and ``# end: NAME``. With ``--check``, nothing is
written, and the exit status is 1 if a section is out of date.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.core import Metric as Family
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from docs.evaluated import aims, figures, unseen
from docs.head_tables import data, heads, reference_specs
from docs.measured import ablations, adaptation, alignment, gaps, small_data, table
from docs.measured_doubt import false_alarms, nonsense
from docs.measured_scaling import simulation, sizing
from docs.measured_speed import peers
from omnivec2.preprocess import preprocessor_for, preprocessor_type
from omnivec2.spec import Limits, Modality
from service.app import create_app
from service.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"


def settings() -> str:
    """Return a table of the gateway's settings: variable, default and meaning."""
    prefix = Settings.model_config["env_prefix"]
    rows = []
    for name, field in Settings.model_fields.items():
        default = _default(field.get_default(call_default_factory=True))
        meaning = " ".join((field.description or "").replace("``", "`").split())
        rows.append([f"`{prefix}{name.upper()}`", default, meaning])
    return table(["variable", "default", "meaning"], rows)


def metrics() -> str:
    """Return a table of the gateway's metrics, with either runtime and all that is off at first."""
    runtimes = ("embedded", "triton")
    switched_on: dict[str, Any] = {
        "shared_state_url": SecretStr("redis://127.0.0.1"),
        "payload_log": "http://127.0.0.1",
        "feedback_answers": 1,
        "drift_share": 1,
        "response_cache_mib": 1,
        "jobs_store": "sqlite",
    }
    settings = [Settings(runtime=runtime, **switched_on) for runtime in runtimes]
    gateways = [create_app(each).state.gateway.metrics for each in settings]
    described = {metric.name: metric for gateway in gateways for metric in gateway.described}
    rows = [
        [f"`{metric.name}`", metric.kind, ", ".join(metric.labels), metric.meaning]
        for metric in described.values()
    ]
    families = gateways[0].registry.collect()
    rows += [
        [f"`{_scraped(family)}`", family.type, "", family.documentation]
        for family in families
        if family.name.startswith("process_")
    ]
    return table(["metric", "kind", "labels", "meaning"], rows)


def _scraped(family: Family) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def dashboards() -> str:
    """Return a table of the dashboards with their panels."""
    pages = [json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))]
    rows = [
        [
            page["title"],
            page["description"],
            ", ".join(v["name"] for v in page["templating"]["list"][1:]),
            "; ".join(panel["title"] for panel in page["panels"]),
        ]
        for page in pages
    ]
    return table(["dashboard", "what it shows", "choices", "panels"], rows)


def variables() -> str:
    """Return the settings that compose passes to the gateway, as comments with their defaults."""
    lines = []
    for name, field in _passed().items():
        lines += textwrap.wrap(
            field.description or "", 96, initial_indent="# ", subsequent_indent="# "
        )
        default = field.get_default(call_default_factory=True)
        lines += [f"#{name}={'' if default is None else _plain(default)}", ""]
    return "\n".join(lines).replace("``", "").strip()


def passed() -> str:
    """Return the keys of these settings without values: compose takes them from its environment."""
    return "\n".join(f"  {name}:" for name in _passed())


def _passed() -> dict[str, FieldInfo]:
    """Return the settings that docker-compose.yml does not set itself, by variable."""
    given = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["x-gateway"]["environment"]
    prefix = Settings.model_config["env_prefix"]
    fields = {f"{prefix}{name.upper()}": field for name, field in Settings.model_fields.items()}
    return {name: field for name, field in fields.items() if given.get(name) is None}


def compose() -> str:
    """Return what the stack of docker-compose.yml needs, from its newest verification report."""
    reports = sorted((ROOT / "loadtests" / "reports").glob("compose_*.json"), key=_date)
    report = json.loads(reports[-1].read_text())
    size, idle = report["images_mb"], report["idle_memory_mb"]
    header = ["", "gateway", "Triton (the development image)"]
    measured = table(
        header,
        [
            ["image on the disk", f"{size['gateway']:,} MB", f"{size['triton']:,} MB"],
            ["memory, idle", f"{idle['gateway']:,.0f} MB", f"{idle['triton']:,.0f} MB"],
        ],
    )
    hardware, day = reports[-1].stem.split("_")[1:]
    ready, recovery = report["start_to_ready_seconds"], report["recovery_seconds"]
    return (
        f"{measured}\n\nFrom `up` to ready: {ready:.0f} s; from Triton's crash to the next answer: "
        f"{recovery:.0f} s ({hardware}, {day}, load average {report['load_average_at_the_end']})."
    )


def _date(path: Path) -> str:
    return path.stem.rpartition("_")[2]


def formats() -> str:
    """Return a table of the formats and default limits of every modality."""
    rows = []
    for modality in Modality:
        kind = preprocessor_type(modality)
        names: dict[str, list[str]] = {}
        for media_type, name in kind.media_types.items():
            names.setdefault(name, []).append(f"`{media_type}`")
        accepted = "; ".join(f"{name} ({', '.join(types)})" for name, types in names.items())
        rows.append([f"`{modality.value}`", accepted, _limits(kind.default_limits)])
    return table(["modality", "formats (content types)", "default limits of one input"], rows)


def sources() -> str:
    """Return a table of what the inputs of every modality are taken for."""
    found: dict[str, list[str]] = {}
    for spec in reference_specs():
        if spec.modality.value in found:
            continue
        preprocessor = preprocessor_for(spec)
        # The first tensor holds the input itself, the others its masks and the like.
        first, *others = preprocessor.sources.values()
        parts = [first.quantity, first.unit, first.scale, first.axes, first.sampling_rate]
        if spec.modality is Modality.TABULAR:
            parts[0] = "; ".join([first.quantity, others[-1].quantity])
        options = ", ".join(f"`{name}`" for name in preprocessor.source_options_type.model_fields)
        name = spec.modality.value
        found[name] = [f"`{name}`", *(part or "" for part in parts), options]
    rows = [found[modality.value] for modality in Modality if modality.value in found]
    header = ["modality", "what", "unit", "scale", "axes", "sampling", "parameters"]
    return table(header, rows)


def _default(value: object) -> str:
    return f"`{_plain(value)}`" if value != () else "empty"


def _plain(value: object) -> str:
    """Format a default as it would be written into the environment."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)


def _limits(limits: Limits) -> str:
    words = []
    for name, value in limits.model_dump(exclude_none=True).items():
        if name.endswith("bytes"):
            words.append(f"{value / 2**20:g} MiB {'encoded' if name == 'bytes' else 'decoded'}")
        else:
            words.append(f"{value:,g} {name}" if value < 1e6 else f"{value:,} {name}")
    return ", ".join(words)


SECTIONS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "heads": ("README.md", heads),
    "peers": ("README.md", peers),
    "figures": ("docs/model-card.md", figures),
    "published": ("docs/model-card.md", aims),
    "data": ("docs/model-card.md", data),
    "adaptation": ("docs/adaptation.md", adaptation),
    "small data": ("docs/adaptation.md", small_data),
    "alignment": ("docs/retrieval.md", alignment),
    "ablations": ("docs/ablations.md", ablations),
    "gaps": ("docs/model-card.md", gaps),
    "settings": ("docs/access-and-limits.md", settings),
    "metrics": ("docs/observability.md", metrics),
    "unseen": ("docs/model-card.md", unseen),
    "dashboards": ("docs/observability.md", dashboards),
    "compose": ("docs/docker.md", compose),
    "sizing": ("docs/scaling.md", sizing),
    "simulation": ("docs/scaling.md", simulation),
    "variables": (".env.example", variables),
    "passed": ("docker-compose.yml", passed),
    "formats": ("docs/http-api.md", formats),
    "sources": ("docs/notes.md", sources),
    "nonsense": ("docs/doubt.md", nonsense),
    "false alarms": ("docs/doubt.md", false_alarms),
}


def stale(*, write: bool) -> list[str]:
    """Return the names of sections that are out of date; rewrite them if ``write``."""
    names = []
    for name, (path, make) in SECTIONS.items():
        document = ROOT / path
        text = document.read_text()
        if document.suffix == ".md":
            begin, content, end = f"<!-- generated: {name} -->\n", f"\n{make()}\n\n", "<!-- end: "
        else:
            begin, content, end = f"# generated: {name}\n", f"{make()}\n", " *# end: "
        # A function, because a replacement string would have its backslashes read.
        fresh, found = re.subn(
            f"({begin}).*?({end}{name}\\b)",
            lambda m: m[1] + content + m[2],  # noqa: B023
            text,
            flags=re.DOTALL,
        )
        if found != 1:
            raise SystemExit(f"{path}: expected one generated section {name!r}, found {found}")
        if fresh != text:
            names.append(f"{path}: {name}")
            if write:
                document.write_text(fresh)
    return names


def main() -> None:
    """Write the sections, or check them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail if a table is out of date")
    check = parser.parse_args().check
    names = stale(write=not check)
    for name in names:
        sys.stdout.write(f"{name} {'is out of date; run make docs' if check else 'written'}\n")
    raise SystemExit(bool(check and names))


if __name__ == "__main__":
    main()
