"""Measure `omnivec2 adapt` on small data sets, beside a logistic regression of the same split.

Tables and pictures are scikit-learn's; texts are given as JSON lines of ``text`` and ``label``, of
which 800 are taken. A fifth of every set, class by class, is the test part. The time is the
processor time of the whole command, with its imports::

    python -m loadtests.benchmarks.small_data_adaptation --texts ag_news=agnews/train.jsonl.gz
"""

from __future__ import annotations

import argparse
import csv
import datetime
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.table import Table
from sklearn import datasets
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from omnivec2.terminal import make_console
from omnivec2.training.evaluation.evaluation_report import environment

ROOT = Path(__file__).resolve().parent.parent.parent
FIGURES = ROOT / "docs" / "small-data.json"
_TEXTS = 800
_TABLES = ("wine", "breast_cancer", "digits")


@dataclass(frozen=True)
class SmallData:
    """A data set and the way it is written to files.

    Attributes:
        name: The name of the new head's task.
        modality: The modality.
        inputs: The inputs: rows of numbers, pictures, or texts.
        labels: The names of their classes.
        write: A function that writes some inputs to a path, with their labels.
        suffix: The suffix of that path.
        options: The options of the command that describe the files.
    """

    name: str
    modality: str
    inputs: Sequence[Any]
    labels: Sequence[str]
    write: Callable[[Path, Sequence[Any], Sequence[str]], None]
    suffix: str
    options: tuple[str, ...] = ()

    def logistic_regression(self) -> Any:
        """Return a logistic regression as scikit-learn's users write it first."""
        if self.modality == "text":
            return make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def write_table(path: Path, rows: Sequence[Any], labels: Sequence[str]) -> None:
    """Write a CSV of numbers and labels."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*(f"c{i}" for i in range(len(rows[0]))), "label"])
        table.writerows([*row, label] for row, label in zip(rows, labels, strict=True))


def write_texts(path: Path, texts: Sequence[Any], labels: Sequence[str]) -> None:
    """Write a CSV of texts and labels."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        table.writerows(zip(texts, labels, strict=True))


def write_pictures(path: Path, rows: Sequence[Any], labels: Sequence[str]) -> None:
    """Write a folder of pictures of 8 x 8 pixels, with a sub-folder per class."""
    for number, (row, label) in enumerate(zip(rows, labels, strict=True)):
        folder = path / label
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(np.asarray(row).reshape(8, 8) * 16, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:05}.png")


def small_data(texts: Sequence[str]) -> list[SmallData]:
    """Return all data sets; ``texts`` are ``NAME=FILE``."""
    found = []
    for name in _TABLES:
        bunch = getattr(datasets, f"load_{name}")()
        labels = [str(bunch.target_names[y]) for y in bunch.target]
        rows = bunch.data.tolist()
        found.append(SmallData(name, "tabular", rows, labels, write_table, ".csv"))
        if name == "digits":
            found.append(SmallData(name, "image", rows, labels, write_pictures, ""))
    for each in texts:
        name, _, file = each.partition("=")
        chosen = _some_texts(Path(file))
        inputs, classes = zip(*chosen, strict=True)
        options = ("--labels", "label", "--input", "text")
        found.append(SmallData(name, "text", inputs, classes, write_texts, ".csv", options))
    return found


def _some_texts(path: Path) -> list[tuple[str, str]]:
    """Return texts and labels of a gzipped file of JSON lines, at most ``_TEXTS`` of them."""
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    order = np.random.default_rng(0).permutation(len(lines))[:_TEXTS]
    return [(lines[i]["text"], f"class {lines[i]['label']}") for i in order]


def measure(data: SmallData, folder: Path) -> dict[str, Any]:
    """Measure a head that is adapted, and a logistic regression on the same split."""
    inputs, test_inputs, labels, test_labels = train_test_split(
        data.inputs, data.labels, test_size=0.2, random_state=0, stratify=data.labels
    )
    train, test = folder / f"train{data.suffix}", folder / f"test{data.suffix}"
    data.write(train, inputs, labels)
    data.write(test, test_inputs, test_labels)
    model = data.logistic_regression().fit(inputs, labels)
    figures = folder / "figures.json"
    command = [
        sys.executable, "-m", "omnivec2_cli.main", "adapt", "--modality", data.modality, "--task",
        data.name, "--data", str(train), "--test", str(test), *data.options,
        "--out", str(folder / "adapted"), "--run", str(folder / "run"), "--json", str(figures),
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{data.modality}/{data.name}: the command failed")
    [result] = json.loads(figures.read_text())
    return {
        "route": result["route"],
        "labelled": result["labelled"],
        "samples": result["samples"],
        "classes": len(set(data.labels)),
        "logistic": float(model.score(test_inputs, test_labels)),
        "value": result["value"],
        "chosen": result["chosen"],
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
    }


def main() -> None:
    """Measure every data set, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="*", metavar="ROUTE", help="measure these anew")
    parser.add_argument("--texts", nargs="*", default=[], metavar="NAME=FILE")
    parser.add_argument("--out", type=Path, default=FIGURES)
    arguments = parser.parse_args()
    results = []
    for data in small_data(arguments.texts):
        if arguments.only and f"{data.modality}/{data.name}" not in arguments.only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(data, Path(folder)))
    table = Table("head", "labels", "test", "logistic regression", "ours", "CPU s", "chosen")
    for r in results:
        table.add_row(r["route"], str(r["labelled"]), str(r["samples"]), f"{r['logistic']:.4f}",
                      f"{r['value']:.4f}", f"{r['cpu_seconds']:.0f}", r["chosen"])  # fmt: skip
    make_console().print(table)
    measured = {result["route"] for result in results}
    if arguments.out.exists():
        kept = json.loads(arguments.out.read_text())["results"]
        results += [result for result in kept if result["route"] not in measured]
    report = {
        "created": datetime.date.today().isoformat(),
        **environment("torch"),
        "results": sorted(results, key=lambda result: result["route"]),
    }
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
