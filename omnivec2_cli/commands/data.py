"""``omnivec2 data check``: look at the data of a recipe before it is trained on."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from omnivec2.terminal import make_console
from omnivec2_cli.errors import EXIT_FAILED, needs_extra, one_line_errors
from omnivec2_cli.options import DataOption, JsonOption

if TYPE_CHECKING:
    from omnivec2.training.data.blocks.checks.task_check import TaskCheck

data_app = typer.Typer(no_args_is_help=True, help="Look at data before it is trained on.")

_PROGRESS_SECONDS = 5.0
_MOST_LISTED = 20
_MOST_CLASSES = 40


@data_app.callback()
def _commands() -> None:
    """Look at data before it is trained on."""


@data_app.command("check")
def data_check(
    recipe: Annotated[str, typer.Argument(help="Path of a recipe, whose tasks have `data:`.")],
    data: DataOption,
    only: Annotated[
        list[str] | None, typer.Option(help="Check only this task (repeatable).")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Write a contact sheet here: one HTML file with examples of each class."),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(min=0, help="Time per task to decode inputs in; 0 decodes all of them."),
    ] = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Count what a recipe trains on, and name everything in it that is broken.

    Every file that cannot be read and every row that cannot be used is named with its reason.
    The exit status is 1 if training would stop at one of them; warnings do not count.

    Examples:

        omnivec2 data check my-recipe.yaml --data /data

        omnivec2 data check my-recipe.yaml --sheet sheet.html

        omnivec2 data check my-recipe.yaml --seconds 0 --json
    """
    console, progress = make_console(), make_console(stderr=True)
    with one_line_errors(), needs_extra("train"):
        from omnivec2.errors import InvalidParameterError
        from omnivec2.training.data.blocks.checks.check import check_task
        from omnivec2.training.recipe import load_recipe

        tasks = load_recipe(recipe).tasks
        chosen = {route: task.block for route, task in tasks.items() if not only or route in only}
        if not any(chosen.values()):
            raise InvalidParameterError(
                f"{recipe}: no task has a block of data to check; it has {', '.join(tasks)}"
            )
        checks = [
            check_task(
                route,
                block,
                data,
                seconds=seconds or None,
                advance=_ProgressLines(progress, route),
            )
            for route, block in chosen.items()
            if block is not None
        ]
        if sheet is not None:
            from omnivec2.training.pictures.contact_sheet import write_contact_sheet

            write_contact_sheet(sheet, checks)
    if as_json:
        typer.echo(json.dumps([check.to_json() for check in checks], indent=1))
    else:
        _print(console, checks)
        if sheet is not None:
            console.print(f"wrote {sheet}")
    if any(check.is_broken for check in checks):
        raise typer.Exit(EXIT_FAILED)


class _ProgressLines:
    """Prints a line every few seconds, with or without a terminal."""

    def __init__(self, console: Console, route: str) -> None:
        self.console, self.route = console, route
        self.start = self.printed = time.monotonic()

    def __call__(self, done: int, count: int) -> None:
        now = time.monotonic()
        if now - self.printed < _PROGRESS_SECONDS:
            return
        self.printed = now
        left = (now - self.start) / done * (count - done)
        self.console.print(
            f"{self.route}: {done:,} of {count:,} inputs decoded, about {left:,.0f} s left"
        )


def _print(console: Console, checks: list[TaskCheck]) -> None:
    from omnivec2.training.data.blocks.checks.task_check import problems_by_kind

    for check in checks:
        console.print(_counts_table(check))
        for kind, problems in problems_by_kind(check.problems).items():
            level = "warning" if problems[0].is_warning else "broken"
            console.print(f"  {level}: {kind} ({len(problems):,})", highlight=False)
            for problem in problems[:_MOST_LISTED]:
                console.print(f"    {escape(str(problem))}", highlight=False, soft_wrap=True)
            if len(problems) > _MOST_LISTED:
                console.print(f"    and {len(problems) - _MOST_LISTED:,} more (--json has all)")
        if check.inputs:
            more = f" and {len(check.inputs) - _MOST_LISTED:,} more" * (
                len(check.inputs) > _MOST_LISTED
            )
            console.print(
                f"  reads: {escape(', '.join(check.inputs[:_MOST_LISTED]))}{more}",
                highlight=False,
                soft_wrap=True,
            )
        for text, count in list(check.notes.items())[:_MOST_LISTED]:
            console.print(
                f"  note, {_times(count)}: {escape(text)}", highlight=False, soft_wrap=True
            )
        total = sum(check.counts.values())
        if 0 < check.decoded < total or (total and not check.problems and not check.decoded):
            console.print(
                f"  {check.decoded:,} of {total:,} inputs were decoded in the time given; "
                "--seconds 0 decodes all"
            )
        if not check.problems:
            console.print("  nothing is wrong with it")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _counts_table(check: TaskCheck) -> Table:
    """Return a table of classes or quantities by part."""
    title = f"{check.route} ({check.kind}, {check.family})"
    # A title is wrapped at the width of its table.
    table = Table(title=title, min_width=len(title))
    table.add_column("class")
    for part in check.counts:
        table.add_column(part, justify="right")
    for name, counts in list(check.classes.items())[:_MOST_CLASSES]:
        table.add_row(escape(name), *(f"{count:,}" for count in counts.values()))
    if len(check.classes) > _MOST_CLASSES:
        table.add_row(f"and {len(check.classes) - _MOST_CLASSES:,} more", *("" for _ in "abc"))
    for name, values in check.quantities.items():
        text = f"mean {values['mean']:.4g}, deviation {values['deviation']:.4g}"
        table.add_row(escape(name), text, "", "")
    table.add_section()
    table.add_row("all", *(f"{count:,}" for count in check.counts.values()))
    return table
