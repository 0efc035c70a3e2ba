"""A program that reads an InChI from standard input and writes SMILES to standard output.

It is a separate program because the reader (C) corrupts its memory, or takes all there is, on
some damaged InChIs. Here that ends this program alone, within limits on memory and time. It
imports nothing of the package, so that it starts quickly.
"""

from __future__ import annotations

import resource
import sys

_MEMORY_BYTES = 2 * 2**30
_CPU_SECONDS = 5


def main() -> None:
    """Convert the InChI; any error ends the program with an exit status other than 0."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = _MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(_MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    from rdkit.Chem import rdinchi, rdmolfiles

    molecule = rdinchi.InchiToMol(sys.stdin.buffer.read().decode())[0]
    if molecule is None:
        sys.exit(1)
    sys.stdout.write(rdmolfiles.MolToSmiles(molecule))


if __name__ == "__main__":
    main()
