"""Measure the memory of idle gateways, and what each part of one takes.

Every figure comes from a process of its own. Parts: the gateway's modules without models, the
library of each engine, and the libraries of each modality: those imported when a head of it is
adopted, and those that wait for the first file of a kind. Whole
gateways: all heads, and those of images and texts, some seconds after they are ready, when freed
memory has been returned::

    python -m loadtests.benchmarks.idle_memory
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.table import Table

from export.repository.assembly import assemble
from export.repository.layouts import Layout
from loadtests.support.measured_gateway import (
    CHECKPOINT,
    ROOT,
    Gateway,
    report_parser,
    write_report,
)
from loadtests.support.process_memory import process_memory
from omnivec2.spec import Modality
from omnivec2.terminal import make_console
from service.runtimes.embedded.engines.find_engine import engine_names

MIB = 2**20
_SETTLED_SECONDS = 7.0
"""Longer than the time between two trims of an idle gateway's heap."""

_EMPTY = "import service.app, service.server.gateway_process, service.runtimes.embedded.runtime"
_MEASURE = """
import sys, time
{before}
from loadtests.support.process_memory import process_memory
before, started = process_memory(), time.perf_counter()
{code}
seconds, after = time.perf_counter() - started, process_memory()
print(after["Rss"], after["Rss"] - before["Rss"], seconds)
"""

_FIRST_USE = {
    Modality.TABULAR: ("first Parquet file", "pyarrow.parquet"),
    Modality.GRAPH: ("first molecule", "rdkit.Chem"),
    Modality.POINTCLOUD: ("first LAS and PCD files", "laspy, pypcd4.pypcd4, fpsample"),
    Modality.XRAY: ("first DICOM file", "omnivec2.preprocess.formats.dicom.dicom"),
    Modality.HYPERSPECTRAL: ("first TIFF file", "tifffile"),
}
"""Modules that are imported when the first file of a kind arrives."""

SELECTIONS = {"all": tuple(Modality), "image + text": (Modality.IMAGE, Modality.TEXT)}

Row = dict[str, Any]


def main() -> int:
    """Measure, print two tables, write a report."""
    parser = report_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="whole gateways only")
    options = parser.parse_args()
    console = make_console()
    with tempfile.TemporaryDirectory() as directory:
        assemble(CHECKPOINT, Path(directory), Layout.SHARED)
        gateways = [gateway_row(Path(directory), name) for name in SELECTIONS]
    parts = [] if options.quick else part_rows()
    console.print(_gateway_table(gateways))
    if parts:
        console.print(_part_table(parts))
    content = {"what": "memory of idle gateways and their parts", "gateways": gateways}
    path = write_report(options.reports, "idle_memory", {**content, "parts": parts})
    console.print(f"wrote {path}")
    return 0


def gateway_row(repository: Path, selection: str) -> Row:
    """Start a gateway with some modalities, wait until it is idle and return its memory.

    Args:
        repository: The model repository.
        selection: A key of ``SELECTIONS``.
    """
    modalities = {modality.value for modality in SELECTIONS[selection]}
    heads = [path.name for path in sorted((CHECKPOINT / "models").iterdir())]
    routes = [name.replace("_", "/", 1) for name in heads if name.split("_")[0] in modalities]
    only = [word for route in routes for word in ("--only", route)]
    started = time.perf_counter()
    with Gateway("--model-repo", str(repository), *only) as gateway:
        seconds = time.perf_counter() - started
        time.sleep(_SETTLED_SECONDS)
        memory = process_memory(gateway.pid)
    return {
        "modalities": selection,
        "heads": len(routes),
        "ready_seconds": round(seconds, 2),
        "resident_bytes": memory["Rss"],
        "proportional_bytes": memory["Pss"],
    }


def part_rows() -> list[Row]:
    """Measure what parts of a gateway add to it when they are imported."""
    rows = [_part("gateway without models", "", _EMPTY)]
    for name in engine_names():
        code = (
            "from service.runtimes.embedded.engines.find_engine import find_engine\n"
            f"find_engine({name!r})"
        )
        try:
            rows.append(_part(f"engine {name}", _EMPTY, code))
        except subprocess.CalledProcessError:
            continue  # its library is not installed
    for modality in Modality:
        adopt = (
            "from omnivec2.preprocess import preprocessor_type\n"
            "from omnivec2.spec import Modality\n"
            f"preprocessor_type(Modality({modality.value!r}))"
        )
        rows.append(_part(f"{modality}: on adoption", _EMPTY, adopt))
        if rare := _FIRST_USE.get(modality):
            rows.append(_part(f"{modality}: {rare[0]}", f"{_EMPTY}\n{adopt}", f"import {rare[1]}"))
    return rows


def _part(name: str, before: str, code: str) -> Row:
    """Return what running some code adds to a process that has run other code before."""
    command = [sys.executable, "-c", _MEASURE.format(before=before, code=code)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    resident, added, seconds = done.stdout.split()
    return {
        "part": name,
        "resident_bytes": int(resident),
        "added_bytes": int(added),
        "seconds": round(float(seconds), 3),
    }


def _gateway_table(rows: list[Row]) -> Table:
    table = Table(title="Idle gateways, MiB")
    for column in ("modalities", "heads", "ready, s", "resident", "proportional"):
        table.add_column(column, justify="right")
    for row in rows:
        sizes = (f"{row[key] / MIB:.0f}" for key in ("resident_bytes", "proportional_bytes"))
        seconds = f"{row['ready_seconds']:.1f}"
        table.add_row(row["modalities"], str(row["heads"]), seconds, *sizes)
    return table


def _part_table(rows: list[Row]) -> Table:
    table = Table(title="What parts add")
    for column in ("part", "MiB", "ms"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(row["part"], f"{row['added_bytes'] / MIB:.1f}", f"{1e3 * row['seconds']:.0f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
