"""Properties of molecules that the network was not trained on."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np

from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import Modality
from omnivec2.training.data.base import DataDirectories, preprocess_spec
from omnivec2.training.evaluation.unseen.unseen_set import UnseenSet, classes, quantities

_KNOWN_SHARE = 0.8


def barrier(at: DataDirectories) -> UnseenSet:
    """Return molecules that pass the blood-brain barrier or not (BBBP)."""
    parts = [
        _rows(at.find(f"graph_moleculenet_cls/bbbp_{part}.csv.gz")) for part in ("train", "test")
    ]
    rows = [row for part in parts for row in part]
    labels = np.array([int(float(row["p_np"])) for row in rows])
    known = np.arange(len(rows)) < len(parts[0])
    return classes("BBBP, blood-brain barrier", _graphs(rows), labels, known)


def hydration(at: DataDirectories) -> UnseenSet:
    """Return molecules with their free energy of hydration in kcal/mol (FreeSolv)."""
    rows = _rows(at.find("graph_molecules/freesolv.csv.gz"))
    order = np.random.default_rng(0).permutation(len(rows))
    known = np.zeros(len(rows), dtype=bool)
    known[order[: round(_KNOWN_SHARE * len(rows))]] = True
    values = np.array([float(row["expt"]) for row in rows])
    return quantities("FreeSolv, random 20 %", _graphs(rows), values, known)


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _graphs(rows: list[dict[str, str]]) -> list[object]:
    preprocessor = preprocessor_for(preprocess_spec(Modality.GRAPH))
    return [preprocessor.decode_json(row["smiles"]) for row in rows]
