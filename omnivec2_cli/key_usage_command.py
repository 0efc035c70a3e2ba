"""``omnivec2 key usage``: what API keys have used."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from omnivec2.errors import InvalidInputError, OmniVecError
from omnivec2.terminal import make_console
from omnivec2_cli.errors import one_line_errors
from omnivec2_cli.options import JsonOption
from omnivec2_cli.predicting.open_predictor import ApiKeyOption
from omnivec2_cli.tables import usage_table

if TYPE_CHECKING:
    from service.access.key_usage import Usage

_SCRAPE_SECONDS = 10.0


def key_usage(
    name: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Names of keys.  [default: all]")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="OMNIVEC2_SHARED_STATE_URL",
            help="The shared state of the gateways, which has the usage of all of them.",
        ),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=400, help="Days to add up, today (UTC) included.")
    ] = 30,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Without a shared state: the metrics of a gateway, e.g."
            " http://127.0.0.1:8080/metrics, which begin at its start.",
        ),
    ] = None,
    api_key: ApiKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what API keys have used: requests, compute-seconds and bytes.

    Gateways with a shared state (OMNIVEC2_SHARED_STATE_URL) add up there what they count, per day.
    One without knows only what it has counted itself since its start; `--metrics` reads that.

    Examples:

        omnivec2 key usage --store redis://127.0.0.1:6379

        omnivec2 key usage alice --days 7 --json

        omnivec2 key usage --metrics http://127.0.0.1:8080/metrics --api-key "$KEY"
    """
    with one_line_errors():
        if metrics is not None:
            usage, title = _scraped(metrics, api_key), f"usage since the start of {metrics}"
        elif store is not None:
            span = "today" if days == 1 else f"the last {days} days"
            usage, title = _stored(store, days), f"usage of all gateways, {span} (UTC)"
        else:
            raise InvalidInputError(
                "without a shared state (--store, OMNIVEC2_SHARED_STATE_URL) usage is known to"
                " each gateway only: expected --metrics with the address of one's metrics, e.g."
                " http://127.0.0.1:8080/metrics"
            )
        if missing := sorted(set(name or ()) - usage.keys()):
            raise InvalidInputError(
                f"nothing has been counted for {', '.join(missing)}", known=sorted(usage)
            )
    rows = [{"name": key, **vars(usage[key])} for key in sorted(usage) if not name or key in name]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    make_console().print(usage_table(title, rows))


def _stored(url: str, days: int) -> dict[str, Usage]:
    """Return the usage of all keys over all gateways.

    Raises:
        OmniVecError: The store cannot be read.
    """
    from service.access.key_usage import read_usage
    from service.shared_state.shared_store import StoreAwayError

    try:
        return asyncio.run(read_usage(url, days))
    except StoreAwayError as error:
        raise OmniVecError(f"the shared state cannot be read: {error}") from error


def _scraped(url: str, api_key: str | None) -> dict[str, Usage]:
    """Return the usage of all keys that a gateway, or its processes, have counted.

    Raises:
        OmniVecError: No metrics are there.
    """
    import httpx2

    from service.access.key_usage import Usage
    from service.observability.key_metrics import usage_of_exposition

    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        response = httpx2.get(url, headers=headers, timeout=_SCRAPE_SECONDS)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise OmniVecError(f"{url} cannot be read: {error}") from error
    if response.status_code == httpx2.codes.UNAUTHORIZED:
        raise OmniVecError(f"{url} requires an API key: --api-key, or a port for the metrics alone")
    if response.status_code != httpx2.codes.OK:
        raise OmniVecError(f"{url} answers {response.status_code}; expected a gateway's metrics")
    try:
        counted = usage_of_exposition(response.text)
    except ValueError as error:
        raise OmniVecError(f"{url} has no metrics in Prometheus' text format") from error
    return {key: Usage(**used) for key, used in counted.items()}
