"""RDKit, imported when the first molecule is read."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType


@lru_cache(maxsize=1)
def rdkit_chem() -> ModuleType:
    """Import RDKit's Chem module and turn off its log to standard error."""
    from rdkit import Chem, RDLogger

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    module: ModuleType = Chem
    return module
