"""Graphs: solubility (ESOL) and lipophilicity of molecules."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from rdkit import Chem

from omnivec2.preprocess import Array, Sample
from omnivec2.spec import DataSource, Modality, Target, TaskFamily
from omnivec2.training.data.base import (
    DataDirectories,
    Loader,
    Split,
    TaskData,
    build,
    preprocess_spec,
)
from omnivec2.training.data.sample_store import stored


@dataclass(frozen=True)
class _Table:
    route: str
    file: str
    target: Target
    test_name: str
    source: DataSource
    description: str


_ESOL = _Table(
    route="graph/solubility",
    file="graph_molecules/esol.csv.gz",
    target=Target(name="solubility", unit="log10(mol/L)"),
    test_name="ESOL, random 10 %",
    source=DataSource(
        name="ESOL (Delaney 2004)", licence="MIT", source="github.com/LCY02/ABT-MPNN"
    ),
    description="How well a molecule dissolves in water: logarithm of mol per litre.",
)
_LIPOPHILICITY = _Table(
    route="graph/lipophilicity",
    file="graph_molecules/Lipophilicity.csv.gz",
    target=Target(name="lipophilicity", unit="logD at pH 7.4"),
    test_name="Lipophilicity, random 10 %",
    source=DataSource(
        name="Lipophilicity (ChEMBL)", licence="MIT", source="github.com/LCY02/ABT-MPNN"
    ),
    description="Octanol-water distribution coefficient (logD at pH 7.4) of a molecule.",
)


def _load(table: _Table, at: DataDirectories) -> TaskData:
    """Load parts of 80, 10 and 10 %, drawn with a fixed seed; duplicates share a part."""
    file = at.find(table.file)
    spec = preprocess_spec(Modality.GRAPH, laplacian_dims=16)
    preprocessor = build(spec)
    with gzip.open(file, "rt", newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    molecules = [row[0].strip() for row in rows]
    values = np.array([[float(row[1])] for row in rows], dtype=np.float32)

    def make() -> Iterator[Sample]:
        for smiles in molecules:
            yield preprocessor.prepare(preprocessor.decode_json(smiles)).samples[0]

    name = table.route.replace("/", "-")
    everything = Split(stored(at.cache, name, spec, [file], make), values)
    return TaskData(
        route=table.route,
        family=TaskFamily.REGRESSION,
        preprocess=spec,
        splits={part: everything.take(rows) for part, rows in _parts(molecules).items()},
        metric="rmse",
        test_name=table.test_name,
        sources=(table.source,),
        targets=(table.target,),
        description=table.description,
    )


def _parts(molecules: list[str]) -> dict[str, Array]:
    """Return the row numbers of each part."""
    keys = np.array([Chem.CanonSmiles(smiles) for smiles in molecules])
    distinct = np.random.default_rng(10).permutation(np.unique(keys))
    tenth = len(distinct) // 10
    test, val = set(distinct[:tenth]), set(distinct[tenth : 2 * tenth])
    part_of = np.array(["test" if k in test else "val" if k in val else "train" for k in keys])
    return {part: np.flatnonzero(part_of == part) for part in ("train", "val", "test")}


TASKS: dict[str, Loader] = {table.route: partial(_load, table) for table in (_ESOL, _LIPOPHILICITY)}
