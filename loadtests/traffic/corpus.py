"""The requests of a load test: the heads a service has loaded, and the files that each takes."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

API_KEY_VARIABLE = "OMNIVEC2_API_KEY"

_REFUSED = (413, 415, 422)
"""Statuses of a file that does not suit a head, such as a table of other columns."""
_TIMEOUT_SECONDS = 60.0
_CONCURRENT_CHECKS = 4
_TRIES = 5


class LoadTestError(Exception):
    """The load test cannot start; the message says what to do."""


@dataclass(frozen=True)
class Sample:
    """A file with the headers of its request."""

    name: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Target:
    """A loaded head.

    Attributes:
        route: The head's name, ``<modality>/<task>``.
        modality: The head's modality.
        samples: The files that it takes.
        refused: The names of the files that it refused.
    """

    route: str
    modality: str
    samples: tuple[Sample, ...]
    refused: tuple[str, ...] = field(default=())

    @property
    def path(self) -> str:
        """The path of its requests."""
        return f"/predict/{self.route}"


def auth_headers() -> dict[str, str]:
    """Return the header with the caller's API key, if the environment has one."""
    key = os.environ.get(API_KEY_VARIABLE)
    return {"Authorization": f"Bearer {key}"} if key else {}


def check_address(url: str, *, allow_remote: bool) -> None:
    """Check that a service runs on this machine, unless another may be loaded.

    Args:
        url: The service's address.
        allow_remote: Whether another machine may be loaded.

    Raises:
        LoadTestError: It is another machine, which may not be loaded.
    """
    host = urlsplit(url).hostname or ""
    try:
        here = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        here = False
    if not (here or allow_remote):
        raise LoadTestError(f"{url} is not this machine; give --allow-remote if you mean it")


def fetch(url: str) -> Any:
    """Get a JSON document of the service.

    Raises:
        LoadTestError: No service answers, or not with 200.
    """
    request = urllib.request.Request(url, headers=auth_headers())
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            raise LoadTestError(f"{url} answered {error.code}") from error
    except (urllib.error.URLError, OSError) as error:
        raise LoadTestError(
            f"no service answers at {url}; start one with `make serve`, or name another with "
            "HOST_URL="
        ) from error


def find_targets(url: str, data: Path, mix: Mapping[str, float]) -> list[Target]:
    """Find the loaded heads of a mix, each with the files that it takes.

    Args:
        url: The service's address.
        data: The folder of ``<modality>/<file>``, or ``<modality>/<task>/<file>``.
        mix: The mix of a profile.

    Raises:
        LoadTestError: No service answers, the mix names what is not loaded, or a head takes no
            file.
    """
    models = fetch(f"{url}/models")["models"]
    routes = {f"{m['modality']}/{m['task']}": m["modality"] for m in models}
    unknown = mix.keys() - routes.keys() - set(routes.values())
    if unknown:
        raise LoadTestError(f"the mix has {', '.join(sorted(unknown))}, which is not loaded")
    wanted = [item for item in sorted(routes.items()) if weight_of(item[0], mix, routes) > 0]
    with ThreadPoolExecutor(_CONCURRENT_CHECKS) as pool:
        targets = list(pool.map(lambda item: _check_files(url, item[0], item[1], data), wanted))
    if empty := [target.route for target in targets if not target.samples]:
        raise LoadTestError(f"no file under {data} is taken by {', '.join(empty)}")
    return targets


def weight_of(route: str, mix: Mapping[str, float], routes: Mapping[str, str]) -> float:
    """Return the share of a head in the load, in the mix's own unit.

    Args:
        route: The head's name.
        mix: The mix of a profile.
        routes: The modality of every loaded head, by its name.
    """
    if not mix:
        return 1.0
    if route in mix:
        return mix[route]
    modality = routes[route]
    others = [r for r, other in routes.items() if other == modality and r not in mix]
    return mix.get(modality, 0.0) / len(others)


def _check_files(url: str, route: str, modality: str, data: Path) -> Target:
    """Post every file once; those that the head refuses are left out, the others must get 200."""
    samples: list[Sample] = []
    refused: list[str] = []
    for path in _files(data / modality, route.partition("/")[2]):
        types = {"Content-Type": "application/json"} if path.suffix == ".json" else {}
        sample = Sample(path.name, path.read_bytes(), types)
        status = _post(f"{url}/predict/{route}", sample)
        if status in _REFUSED:
            refused.append(path.name)
        elif status == 200:
            samples.append(sample)
        else:
            raise LoadTestError(f"{route} answered {status} to {path}, before any load")
    return Target(route, modality, tuple(samples), tuple(refused))


def _files(folder: Path, task: str) -> Iterator[Path]:
    own = folder / task
    for path in sorted((own if own.is_dir() else folder).glob("*")):
        if path.is_file() and path.suffix != ".md":
            yield path


def _post(url: str, sample: Sample, tries: int = _TRIES) -> int:
    """Return the status of an answer; after a 429 the request is retried when the answer says."""
    headers = {"Content-Type": "application/octet-stream", **sample.headers, **auth_headers()}
    request = urllib.request.Request(url, sample.body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == HTTPStatus.TOO_MANY_REQUESTS and tries > 1:
                # A service that has just started has not measured yet what requests cost.
                time.sleep(float(error.headers.get("Retry-After", 1)))
                return _post(url, sample, tries - 1)
            return error.code
