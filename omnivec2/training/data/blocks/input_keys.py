"""Keys by which equal inputs are found: in several parts they would be looked up, not learned."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.training.data.blocks.examples import Example


def input_key(example: Example) -> str:
    """Return a text that is the same for equal inputs; files are equal if their bytes are."""
    value: Any = example.value
    if isinstance(value, Path):
        try:
            return hashlib.sha256(value.read_bytes()).hexdigest()
        except OSError:
            return str(value)
    if isinstance(value, np.ndarray):
        return hashlib.sha256(value.tobytes()).hexdigest()
    if hasattr(value, "read"):
        return hashlib.sha256(value.read()).hexdigest()
    return _canonical(value) if isinstance(value, str) else repr(value)


def _canonical(text: str) -> str:
    """Return the canonical SMILES of a molecule, or the text itself."""
    if not text or len(text.split()) > 1:
        return text
    try:
        from rdkit import Chem, rdBase
    except ImportError:
        return text
    with rdBase.BlockLogs():
        molecule: Any = Chem.MolFromSmiles(text)  # None, in spite of its type, if it is none
    return text if molecule is None else str(Chem.MolToSmiles(molecule))
