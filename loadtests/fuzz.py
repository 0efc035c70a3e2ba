"""Send the service requests that its OpenAPI document allows, and many that it does not.

Starts the gateway with the reference network and runs schemathesis against it, with the checks
of ``schemathesis.toml``, until the time is over or a check fails. A run that has not come to every
operation of the document by then fails as well::

    python -m loadtests.fuzz --seconds 600
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from loadtests.support.measured_gateway import ROOT, Gateway

_SCHEMATHESIS = Path(sys.executable).with_name("st")
_TESTED = re.compile(r"Tested: (\d+)")
_METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def main() -> int:
    """Run schemathesis and return its exit code."""
    options = _options()
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        url = options.url
        if url is None:
            port = stack.enter_context(Gateway("--model-repo", directory)).port
            url = f"http://127.0.0.1:{port}"
        command = [
            *(str(_SCHEMATHESIS), "--config-file", str(ROOT / "schemathesis.toml")),
            *("run", f"{url}/openapi.json", "--no-color"),
            *("--continue-on-failure", "--generation-database", "none"),
            *("--max-time", str(options.seconds)),
        ]
        if options.seed is not None:
            command += ["--seed", str(options.seed)]
        operations = _count_operations(url)
        with subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            tested = 0
            for line in running.stdout:
                print(line, end="", flush=True)
                if found := _TESTED.search(line):
                    tested = int(found[1])
    if running.returncode == 0 and tested < operations:
        print(f"only {tested} of {operations} operations were tested: give it more --seconds")
        return 1
    return running.returncode


def _count_operations(url: str) -> int:
    """The number of operations in a service's OpenAPI document."""
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=60) as answer:
        paths = json.load(answer)["paths"]
    return sum(len(_METHODS & item.keys()) for item in paths.values())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=600, help="time budget of the whole run")
    parser.add_argument("--url", help="test this service, and start none")
    parser.add_argument("--seed", type=int, help="seed of a repeatable run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
