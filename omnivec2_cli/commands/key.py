"""``omnivec2 key create | list | revoke | usage``: manage the API keys of a gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from omnivec2.terminal import make_console
from omnivec2_cli.errors import one_line_errors
from omnivec2_cli.key_usage_command import key_usage
from omnivec2_cli.options import JsonOption
from omnivec2_cli.tables import keys_table

keys_app = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys.")
keys_app.command("usage")(key_usage)

_DEFAULT_FILE = Path("api_keys.json")

FileOption = Annotated[
    Path, typer.Option("--file", envvar="OMNIVEC2_API_KEYS_FILE", help="File of API keys.")
]
NameArgument = Annotated[str, typer.Argument(help="Name of the caller, as it appears in logs.")]


@keys_app.command("create")
def key_create(
    name: NameArgument,
    file: FileOption = _DEFAULT_FILE,
    rate: Annotated[
        float | None, typer.Option(help="Requests per second, on average.  [default: no limit]")
    ] = None,
    burst: Annotated[
        int | None, typer.Option(help="Requests in one burst.  [default: as many as per second]")
    ] = None,
    concurrent: Annotated[
        int | None, typer.Option(help="Concurrent requests.  [default: no limit]")
    ] = None,
    compute: Annotated[
        float | None,
        typer.Option(
            help="Compute-seconds per minute, on average; 60 keeps a core busy."
            "  [default: no limit]"
        ),
    ] = None,
    compute_burst: Annotated[
        float | None,
        typer.Option(help="Compute-seconds in one burst.  [default: as many as per minute]"),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="Time at which the key expires, e.g. 2027-01-01T00:00:00Z.")
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(help="Head that the key may call (repeatable).  [default: all]"),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse requests with notes on an input.")
    ] = False,
    priority: Annotated[
        Literal["high", "normal", "low"] | None,
        typer.Option(help="Highest priority class that its requests get.  [default: normal]"),
    ] = None,
) -> None:
    """Create a key and print it once; the file stores only its hash.

    Gateways reload the file within seconds.

    Examples:

        omnivec2 key create alice

        omnivec2 key create batch --rate 5 --concurrent 2 --head image/classification

        omnivec2 key create team --compute 120 --compute-burst 30
    """
    from service.access.api_keys import create_key

    given = {
        "requests_per_second": rate,
        "burst": burst,
        "max_concurrent": concurrent,
        "compute_seconds_per_minute": compute,
        "compute_burst_seconds": compute_burst,
        "expires": expires,
        "heads": tuple(head) if head else None,
        "strict": strict or None,
        "priority": priority,
    }
    with one_line_errors():
        limits = {field: value for field, value in given.items() if value is not None}
        typer.echo(create_key(file, name, **limits))


@keys_app.command("list")
def key_list(
    file: FileOption = _DEFAULT_FILE,
    as_json: JsonOption = False,
) -> None:
    """List the keys of a file with their limits; the file does not hold the keys themselves.

    Examples:

        omnivec2 key list
    """
    from service.access.api_keys import read_keys

    with one_line_errors():
        keys = read_keys(file).keys
    rows = [key.model_dump(mode="json", exclude={"sha256"}) for key in keys]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    make_console().print(keys_table(str(file), rows))


@keys_app.command("revoke")
def key_revoke(name: NameArgument, file: FileOption = _DEFAULT_FILE) -> None:
    """Remove a key from a file; gateways reject it within seconds.

    Examples:

        omnivec2 key revoke alice
    """
    from service.access.api_keys import revoke_key

    with one_line_errors():
        revoke_key(file, name)
    typer.echo(f"revoked {name}")
