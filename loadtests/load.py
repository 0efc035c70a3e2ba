"""A load test against a started service: Locust, headless, with thresholds and reports.

``make loadtest`` is this for one minute; the exit code is 1 if a threshold of the profile is
broken. HTML, CSV and a JSON summary are kept under ``.cache/loadtest``::

    python -m loadtests.load --profile mixed --run-time 60s
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from loadtests.support.measured_gateway import ROOT, hardware
from loadtests.traffic.corpus import LoadTestError, check_address, fetch
from loadtests.traffic.traffic_profile import read_profile

_OUTPUT = ROOT / ".cache" / "loadtest"
_STOP_SECONDS = 10


def main() -> int:
    """Check profile and service, run Locust, and print where the reports are."""
    options = _options()
    url = options.url.rstrip("/")
    try:
        profile = read_profile(options.profile)
        check_address(url, allow_remote=options.allow_remote)
        fetch(f"{url}/readyz")
    except (LoadTestError, ValueError) as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return 2
    name = f"{Path(options.profile).stem}_{hardware()}_{datetime.now():%Y-%m-%dT%H-%M-%S}"
    directory = options.output / name
    directory.mkdir(parents=True)
    print(f"{profile.description} {options.run_time} against {url} ...", flush=True)
    code = subprocess.run(_command(options, url, directory), cwd=ROOT, check=False).returncode
    print(f"thresholds {'held' if code == 0 else 'BROKEN'}; reports are in {directory}")
    return code


def _command(options: argparse.Namespace, url: str, directory: Path) -> list[str]:
    command = [
        *(sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless"),
        *("--only-summary", "--loglevel", "WARNING", "--host", url),
        *("--load-profile", options.profile, "--data", str(options.data.resolve())),
        *("--run-time", options.run_time, "--stop-timeout", str(_STOP_SECONDS)),
        *("--html", str(directory / "report.html"), "--csv", str(directory / "report")),
        *("--summary", str(directory / "summary.json")),
    ]
    if options.allow_remote:
        command.append("--allow-remote")
    if options.baseline:
        command += ["--baseline", str(options.baseline.resolve())]
    return command


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the started service")
    parser.add_argument(
        "--profile", default="mixed", help="name in loadtests/profiles, or a .toml file"
    )
    parser.add_argument("--run-time", default="60s", help="in Locust's form: 60s, 10m, 1h")
    parser.add_argument(
        "--data", type=Path, default=ROOT / "tests" / "data", help="folder of <modality>/<file>"
    )
    parser.add_argument("--baseline", type=Path, help="summary.json of an earlier run")
    parser.add_argument("--allow-remote", action="store_true", help="load another machine")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="directory of the reports")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
