"""Measure the time of several heads on one input against one head, in the shared layout.

``POST /predict/{modality}?tasks=a,b,c`` decodes once and runs tokenizer and trunk once. The
reference network has no three heads with the same pre-processing, so two copies of the head
of image/classification are put beside it, as ``omnivec2 head add`` would put other heads::

    python -m loadtests.benchmarks.several_tasks
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.table import Table

from export.repository.assembly import VERSION, assemble
from export.repository.layouts import Layout
from loadtests.support.measured_gateway import (
    CHECKPOINT,
    ROOT,
    Gateway,
    HttpClient,
    closed_loop,
    median,
    report_parser,
    write_report,
)
from loadtests.support.triton_server import running_triton
from omnivec2.model_config import (
    CONFIG_FILE,
    format_config,
    has_head_spec,
    read_config,
    read_head_spec,
    set_head_spec,
    set_passport,
)
from omnivec2.passport import PASSPORT_FILE, load_passport
from omnivec2.spec import model_name
from omnivec2.terminal import make_console

COPIES = ("classification_b", "classification_c")
PICTURE = ROOT / "tests/data/image/blood_smear.jpg"
# (name, path of one head, path of several)
CASES = (
    (
        "3 heads, one pre-processing",
        "/predict/image/classification",
        f"/predict/image?tasks=classification,{','.join(COPIES)}",
    ),
    (
        "3 heads, two pre-processings",
        "/predict/image/detection",
        "/predict/image?tasks=detection,segmentation,classification",
    ),
)


def main() -> int:
    """Measure, print a table, write a report; return 1 if three heads cost too much."""
    options = _options()
    console = make_console()
    body = PICTURE.read_bytes()
    rows = []
    with ExitStack() as stack:
        repository = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        assemble(CHECKPOINT, repository, Layout.SHARED)
        for name in COPIES:
            copy_head(repository, "image_classification", name)
        from_repository = ("--model-repo", str(repository), "--checkpoint", str(repository / "no"))
        gateways = {"embedded": stack.enter_context(Gateway(*from_repository))}
        if options.triton:
            server = stack.enter_context(running_triton(repository))
            gateways["Triton"] = stack.enter_context(Gateway("--triton", server.grpc))
        for runtime, gateway in gateways.items():
            for case, one, several in CASES:
                console.print(f"{runtime}, {case} ...")
                ratios, milliseconds = _ratios(gateway.port, one, several, body, options)
                rows.append(
                    {
                        "runtime": runtime,
                        "case": case,
                        "one": one,
                        "several": several,
                        "one_ms": round(milliseconds[0], 2),
                        "several_ms": round(milliseconds[1], 2),
                        "ratio": round(median(ratios), 3),
                        "rounds": [round(ratio, 3) for ratio in ratios],
                    }
                )
    table = Table(title="One JPEG, one client: median milliseconds")
    for column in ("runtime", "case", "1 head", "3 heads", "ratio"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for row in rows:
        cells = (row["runtime"], row["case"], row["one_ms"], row["several_ms"], row["ratio"])
        table.add_row(*map(str, cells))
    console.print(table)
    report = {"what": "time of several heads on one input against one head, shared layout"}
    console.print(f"wrote {write_report(options.reports, 'tasks', report | {'rows': rows})}")
    return 0 if float(str(rows[0]["ratio"])) <= options.at_most else 1


def _options() -> argparse.Namespace:
    parser = report_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--at-most", type=float, default=1.4, help="ratio that passes")
    parser.add_argument("--no-triton", dest="triton", action="store_false", help="embedded only")
    return parser.parse_args()


def _ratios(
    port: int, one: str, several: str, body: bytes, options: argparse.Namespace
) -> tuple[list[float], tuple[float, float]]:
    """Measure the ratio of medians per round, and the medians of all rounds in milliseconds."""

    async def measure(path: str) -> float:
        client = HttpClient(port, path, body, "image/jpeg")
        load = await closed_loop([client.send], options.seconds)
        client.close()
        return load.percentile_ms(50)

    pairs = []
    for number in range(options.rounds + 1):
        # In turns, so that a disturbance of the machine affects both.
        order = (one, several) if number % 2 else (several, one)
        measured = {path: asyncio.run(measure(path)) for path in order}
        pairs.append((measured[one], measured[several]))
    pairs = pairs[1:]  # the first round warms up
    return [b / a for a, b in pairs], (median([a for a, _ in pairs]), median([b for _, b in pairs]))


def copy_head(repository: Path, name: str, task: str) -> None:
    """Copy a head within a repository of the shared layout, under another task's name.

    Args:
        repository: The model repository.
        name: The name of the model to copy.
        task: The task of the copy.
    """
    modality = name.partition("_")[0]
    copied = model_name(f"{modality}/{task}")
    renamed = {name: copied, f"head_{name}": f"head_{copied}"}
    for old, new in renamed.items():
        shutil.copytree(repository / old, repository / new)
        file = repository / new / CONFIG_FILE
        config = read_config(file)
        config.name = new
        passport_file = repository / new / VERSION / PASSPORT_FILE
        passport = load_passport(passport_file)
        parts = {renamed.get(part, part): digest for part, digest in passport.parts.items()}
        passport = passport.model_copy(update={"model": new, "parts": parts})
        passport_file.write_text(passport.model_dump_json())
        set_passport(config, passport)
        if has_head_spec(config):
            head = read_head_spec(config, name)
            set_head_spec(config, head.model_copy(update={"task": task}))
        for step in config.ensemble_scheduling.step:
            step.model_name = renamed.get(step.model_name, step.model_name)
        file.write_text(format_config(config), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
