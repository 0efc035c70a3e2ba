"""Ask an installed service whether it lives and for one prediction: this is ``helm test``.

It runs in a pod of the gateway's image, from a copy in the chart, with the standard library only.
"""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping

_PATIENCE_SECONDS = 240
_LATER = (429, 503, 504)
"""Statuses of a service that is starting or busy."""


def ask(
    url: str, headers: Mapping[str, str], body: bytes | None = None, *, pause_seconds: float = 2
) -> str:
    """Return the answer of an address; ask again while the service is starting or busy.

    Args:
        url: The address.
        headers: The headers of the request.
        body: The body of a POST; None makes it a GET.
        pause_seconds: The time between two tries.

    Raises:
        SystemExit: The service refuses, or does not answer in minutes; with the reason.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            request = urllib.request.Request(url, data=body, headers=dict(headers))
            with urllib.request.urlopen(request, timeout=30) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            failure = f"{url}: {error.code} {error.read()[:500]!r}"
            if error.code not in _LATER:
                raise SystemExit(failure) from error
        except OSError as error:
            failure = f"{url}: {error}"
        if time.monotonic() > deadline:
            raise SystemExit(failure)
        time.sleep(pause_seconds)


def main() -> None:
    """Ask what the environment names: SERVICE_URL, HEAD, BODY, CONTENT_TYPE, API_KEY."""
    url, head = os.environ["SERVICE_URL"], os.environ["HEAD"]
    headers = {"Content-Type": os.environ["CONTENT_TYPE"]}
    if key := os.environ.get("API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    print("alive:", ask(f"{url}/healthz", headers))
    print("ready:", ask(f"{url}/readyz", headers))
    print(f"{head}:", ask(f"{url}/predict/{head}", headers, os.environ["BODY"].encode()))


if __name__ == "__main__":
    main()
