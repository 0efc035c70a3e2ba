"""Remove hashes of files that nobody here can install from lock files.

pip-compile lists every file of a release: wheels of all versions of Python, of PyPy, of phones.
What stays is what a machine with Python 3.11 may choose: source archives, wheels for every machine,
and those for Linux (glibc), macOS and Windows. A hash that the index does not know stays, too::

    python scripts/prune_lock_hashes.py requirements/*.lock
"""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

_INDEX = "https://pypi.org/simple"
_JSON = "application/vnd.pypi.simple.v1+json"
_MINOR = 11
_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)==", re.MULTILINE)
_HASH = re.compile(r" \\\n    --hash=sha256:([0-9a-f]{64})")
_PLATFORMS = re.compile(r"any|(many)?linux.*_(x86_64|aarch64)|macosx.*|win_amd64")


def is_usable(filename: str) -> bool:
    """Whether Python 3.11 may install a file on Linux, macOS or Windows."""
    if not filename.endswith(".whl"):
        return not filename.endswith((".egg", ".exe", ".rpm"))
    try:
        *_, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return False
    return any(
        _PLATFORMS.fullmatch(tag.platform) and _is_for_python(tag.interpreter, tag.abi)
        for tag in tags
    )


def _is_for_python(interpreter: str, abi: str) -> bool:
    if interpreter.startswith("py3"):
        return int(interpreter[3:] or 0) <= _MINOR
    if not interpreter.startswith("cp3"):
        return False
    minor = int(interpreter[3:])
    return minor == _MINOR or (abi == "abi3" and minor <= _MINOR)


def unusable_hashes(name: str) -> set[str]:
    """Return the hashes of a package's files that nobody here can install."""
    address = f"{_INDEX}/{canonicalize_name(name)}/"
    request = urllib.request.Request(address, headers={"Accept": _JSON})
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]
    return {file["hashes"]["sha256"] for file in files if not is_usable(file["filename"])}


def main() -> int:
    """Rewrite the lock files that are named as arguments; return the exit status."""
    paths = [Path(name) for name in sys.argv[1:]]
    texts = {path: path.read_text() for path in paths}
    names = sorted({name for text in texts.values() for name in _PINNED.findall(text)})
    with ThreadPoolExecutor(8) as pool:
        unusable = set().union(*pool.map(unusable_hashes, names))
    for path, text in texts.items():
        pruned = _HASH.sub(lambda found: "" if found[1] in unusable else found[0], text)
        if pruned != text:
            path.write_text(pruned)
            print(f"{path}: {len(text):,} -> {len(pruned):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
