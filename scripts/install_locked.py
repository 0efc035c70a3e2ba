"""Install locked packages into the environment whose Python runs this, with pip's settings.

pip downloads, checks and unpacks one package after the other; uv does several at a time, and needs
a quarter of the time. uv does not read pip's settings, so it is handed them: a company's index, a
folder of wheels. Where there is no uv, where it fails, and where pip has a setting that uv does not
know, pip installs the same packages, as no package is looked for beyond the lock file::

    .venv/bin/python scripts/install_locked.py --require-hashes -r requirements/serving.lock
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

UV = Path(__file__).resolve().parents[1] / ".cache" / "uv" / "bin" / "uv"
"""Where `make` puts uv."""

_PIP = [sys.executable, "-m", "pip"]
_QUIET = ["--quiet", "--quiet", "--disable-pip-version-check", "--no-compile"]

# Pip's settings that are options of uv, some with several values.
_OPTIONS = {
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "find-links": "--find-links",
    "constraint": "--constraints",
    "trusted-host": "--allow-insecure-host",
}
_VARIABLES = {
    "cert": "SSL_CERT_FILE",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "proxy": "ALL_PROXY",
}
# These change nothing about which packages are installed.
_IRRELEVANT = {
    *("break-system-packages", "cache-dir", "compile", "disable-pip-version-check", "no-cache-dir"),
    *("no-color", "no-compile", "no-input", "no-python-version-warning", "prefer-binary"),
    *("progress-bar", "quiet", "require-virtualenv", "retries", "root-user-action", "verbose"),
}


class UnknownSettingError(Exception):
    """Pip has a setting that cannot be handed to uv."""


def main() -> int:
    """Install with uv, or else with pip; return the exit status."""
    words = sys.argv[1:]
    try:
        listed = subprocess.run(
            [*_PIP, "config", "list"], capture_output=True, text=True, check=True
        )
        settings = read_settings(listed.stdout.splitlines())
        if "--require-hashes" in words:  # hashes say more than constraints, and uv wants only them
            settings.pop("constraint", None)
        options, variables = translate(settings)
        uv = [str(UV), "pip", "install", "--python", sys.executable, "--quiet", "--no-deps"]
        done = subprocess.run(
            [*uv, "--index-strategy", "unsafe-best-match", *options, *words],
            env={**os.environ, "UV_PYTHON_DOWNLOADS": "never", **variables},
            check=False,
        )
        if done.returncode == 0:
            return 0
        reason = "uv failed"
    except FileNotFoundError:
        reason = "uv is not installed"
    except (OSError, subprocess.CalledProcessError, UnknownSettingError) as error:
        reason = str(error)
    print(f"pip installs, which takes longer: {reason}", file=sys.stderr)
    return subprocess.run([*_PIP, "install", *_QUIET, "--no-deps", *words], check=False).returncode


def read_settings(lines: Sequence[str]) -> dict[str, str]:
    """Read the lines of ``pip config list``: a map from settings to values.

    A variable of the environment counts more than a file, and a setting of ``install`` more than
    one of all commands, as in pip itself.
    """

    def rank(section: str) -> int:
        return {"global": 0, "install": 1, ":env:": 2}.get(section, -1)

    found: dict[str, tuple[int, str]] = {}
    for line in lines:
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if rank(section) >= found.get(name, (0, ""))[0]:
            found[name] = rank(section), str(ast.literal_eval(value))
    return {name: value for name, (_, value) in found.items()}


def translate(settings: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Translate pip's settings to options of uv, and variables of its environment.

    Raises:
        UnknownSettingError: One of the settings has no counterpart.
    """
    options: list[str] = []
    variables: dict[str, str] = {}
    for name, value in settings.items():
        if name in _OPTIONS:
            options += [word for one in value.split() for word in (_OPTIONS[name], one)]
        elif name in _VARIABLES:
            variables[_VARIABLES[name]] = value
        elif name == "no-index":
            options += ["--no-index"] if value.lower() in {"1", "true", "yes", "on"} else []
        elif name not in _IRRELEVANT:
            raise UnknownSettingError(f"uv has no such setting as pip's {name}")
    return options, variables


if __name__ == "__main__":
    sys.exit(main())
