"""Write the tables of the documents, and the lists of files, that say what the code says.

Each stands between ``<!-- generated: NAME -->`` and ``<!-- end: NAME -->``, outside of
Markdown between ``# generated: NAME`` and ``# end: NAME``. Run with ``--check`` to fail,
writing nothing, when one is out of date.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml
from measured import ablations, adaptation, alignment, gaps, number, published, table
from prometheus_client.core import Metric as Family
from pydantic.fields import FieldInfo

from omnivec2.preprocess import preprocessor_type
from omnivec2.spec import HeadSpec, Limits, Metric, Modality, TaskFamily
from service.gateway import Gateway
from service.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
HEADS = ROOT / "checkpoints" / "reference" / "models"


def settings() -> str:
    """Every setting of the gateway: its variable, default and meaning."""
    prefix = Settings.model_config["env_prefix"]
    rows = []
    for name, field in Settings.model_fields.items():
        default = _default(field.get_default(call_default_factory=True))
        meaning = " ".join((field.description or "").replace("``", "`").split())
        rows.append([f"`{prefix}{name.upper()}`", default, meaning])
    return table(["variable", "default", "meaning"], rows)


def metrics() -> str:
    """Every metric of a gateway, with either runtime."""
    runtimes = ("embedded", "triton")
    gateways = [Gateway(Settings(runtime=runtime)).metrics for runtime in runtimes]
    described = {one.name: one for gateway in gateways for one in gateway.described}
    rows = [
        [f"`{one.name}`", one.kind, ", ".join(one.labels), one.meaning]
        for one in described.values()
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
    """Every dashboard, with the panels on it."""
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
    """Every setting that compose passes to the gateway, as a comment with its default."""
    lines = []
    for name, field in _passed().items():
        lines += textwrap.wrap(
            field.description or "", 96, initial_indent="# ", subsequent_indent="# "
        )
        default = field.get_default(call_default_factory=True)
        lines += [f"#{name}={'' if default is None else _plain(default)}", ""]
    return "\n".join(lines).replace("``", "").strip()


def passed() -> str:
    """The keys of the same settings, without values: compose takes these from where it runs."""
    return "\n".join(f"  {name}:" for name in _passed())


def _passed() -> dict[str, FieldInfo]:
    """Variable -> setting, of those that docker-compose.yml does not fix itself."""
    given = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["x-gateway"]["environment"]
    prefix = Settings.model_config["env_prefix"]
    fields = {f"{prefix}{name.upper()}": field for name, field in Settings.model_fields.items()}
    return {name: field for name, field in fields.items() if given.get(name) is None}


def compose() -> str:
    """What the stack of docker-compose.yml takes, from the newest report of its verification."""
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
    """Formats and default limits of every modality."""
    rows = []
    for modality in Modality:
        kind = preprocessor_type(modality)
        names: dict[str, list[str]] = {}
        for media_type, name in kind.media_types.items():
            names.setdefault(name, []).append(f"`{media_type}`")
        accepted = "; ".join(f"{name} ({', '.join(types)})" for name, types in names.items())
        rows.append([f"`{modality.value}`", accepted, _limits(kind.default_limits)])
    return table(["modality", "formats (content types)", "default limits of one input"], rows)


def heads() -> str:
    """The heads of the reference checkpoint and how good they are."""
    specs = _specs()
    rows = [
        [f"`{spec.route}`", spec.description, m.name, number(m.value), _baselines(m)]
        for spec in specs
        for m in spec.metrics
        if spec.family is not TaskFamily.EMBEDDING
    ]
    embeddings = sum(spec.family is TaskFamily.EMBEDDING for spec in specs)
    note = f"\n\nBesides, `<modality>/embedding` for {embeddings} modalities." if embeddings else ""
    return table(["head", "what it does", "metric", "value", "simple models"], rows) + note


def figures() -> str:
    """Every measured figure of every head, with what it was measured on."""
    rows = [
        [
            f"`{spec.route}`",
            f"{m.dataset}, {m.split}",
            f"{m.samples:,}",
            m.name + ("" if m.higher_is_better else " (lower is better)"),
            f"**{number(m.value)}**",
            _baselines(m),
            _gain(m),
        ]
        for spec in _specs()
        for m in spec.metrics
    ]
    header = ["head", "measured on", "samples", "metric", "value", "simple models", "gain"]
    return table(header, rows)


def data() -> str:
    """What every head was trained on, under which licence, and what it started from."""
    rows = [
        [
            f"`{spec.route}`",
            "; ".join(f"{source.name} ({source.source})" for source in spec.data),
            "; ".join(dict.fromkeys(source.licence for source in spec.data)),
            "; ".join(spec.warm_starts),
        ]
        for spec in _specs()
    ]
    return table(["head", "data", "licence as stated", "warm starts"], rows)


def _specs() -> list[HeadSpec]:
    """Head specs of the reference checkpoint, in the order of modalities."""
    specs = [HeadSpec.model_validate_json(p.read_text()) for p in HEADS.glob("*/head.json")]
    order = list(Modality)
    return sorted(specs, key=lambda spec: (order.index(spec.modality), spec.task))


def _default(value: object) -> str:
    return f"`{_plain(value)}`" if value != () else "empty"


def _plain(value: object) -> str:
    """A default as one would write it into the environment."""
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


def _baselines(metric: Metric) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in metric.baselines.items())


def _gain(metric: Metric) -> str:
    sign = 1 if metric.higher_is_better else -1
    gains = [sign * (metric.value - value) for value in metric.baselines.values()]
    return f"{min(gains):+.4g}" if gains else ""


SECTIONS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "heads": ("README.md", heads),
    "figures": ("docs/model-card.md", figures),
    "published": ("docs/model-card.md", lambda: published(_specs())),
    "data": ("docs/model-card.md", data),
    "adaptation": ("docs/adaptation.md", adaptation),
    "alignment": ("docs/retrieval.md", alignment),
    "ablations": ("docs/ablations.md", ablations),
    "gaps": ("docs/model-card.md", gaps),
    "settings": ("docs/operations.md", settings),
    "metrics": ("docs/operations.md", metrics),
    "dashboards": ("docs/operations.md", dashboards),
    "compose": ("docs/operations.md", compose),
    "variables": (".env.example", variables),
    "passed": ("docker-compose.yml", passed),
    "formats": ("docs/http-api.md", formats),
}


def stale(*, write: bool) -> list[str]:
    """Names of sections that are out of date; they are brought up to date if ``write``."""
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
    """Write the tables, or check them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail if a table is out of date")
    check = parser.parse_args().check
    names = stale(write=not check)
    for name in names:
        sys.stdout.write(f"{name} {'is out of date; run make docs' if check else 'written'}\n")
    raise SystemExit(bool(check and names))


if __name__ == "__main__":
    main()
