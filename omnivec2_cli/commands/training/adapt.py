"""``omnivec2 adapt``: fit a head to labelled data of your own, in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from omnivec2.spec import Modality, model_name
from omnivec2.terminal import make_console
from omnivec2_cli.errors import needs_extra, one_line_errors, resumable
from omnivec2_cli.options import DEFAULT_CHECKPOINT, CheckpointOption


def adapt(
    recipe: Annotated[
        str | None,
        typer.Argument(help="Name of a recipe, or path of a YAML file, instead of options."),
    ] = None,
    modality: Annotated[Modality | None, typer.Option(help="Modality of the inputs.")] = None,
    task: Annotated[
        str, typer.Option(help="Task name of the new head, which is served at MODALITY/TASK.")
    ] = "adapted",
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder, CSV, TSV, Parquet, NPZ, NPY or MAT; with a recipe, its data directory."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Label column or array, or a CSV of file and label; several columns of 0 and 1 "
            "or of quantities with commas.  [default: sub-folders, label]"
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="Column or array of the inputs; two for text pairs."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="Column or array of the person, the recording or the series that an input is of; "
            "inputs of one are never in both parts."
        ),
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Series: column of times.  [default: found by its cells]")
    ] = None,
    lengths: Annotated[
        str | None,
        typer.Option(help="Arrays: key of the lengths of recordings that are concatenated."),
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="Test data, in the same form.  [default: 20 % held out]")
    ] = None,
    fraction: Annotated[
        float | None, typer.Option(help="Fraction of the labels to train on.  [default: all]")
    ] = None,
    task_family: Annotated[
        Literal["classification", "multi-label", "regression", "forecasting"],
        typer.Option(help="Kind of answer: a class, any number of tags, quantities, next steps."),
    ] = "classification",
    horizon: Annotated[
        int | None, typer.Option(min=1, help="Forecasting: steps to forecast.  [default: 24]")
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            min=16,
            help="Series: steps that are read.  [default: four horizons; of classes the shortest "
            "series]",
        ),
    ] = None,
    unit: Annotated[str, typer.Option(help="Regression: unit of the predicted quantity.")] = "",
    name: Annotated[str | None, typer.Option(help="Name of the data set.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the data.")] = "not stated",
    description: Annotated[str, typer.Option(help="Description of the head for its users.")] = "",
    skip_bad: Annotated[
        int | None, typer.Option(min=0, help="Number of inputs that may fail to decode.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.  [default: 0]")] = None,
    search_seconds: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Nominal time to try more than linear maps: two layers, and a tokenizer of its "
            "own.  [default: 6 for tables, 90 for motion and spectra, 30 for "
            "others; one more per 100 labels]",
        ),
    ] = None,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    out: Annotated[
        Path | None, typer.Option(help="Checkpoint to write.  [default: checkpoints/MODALITY_TASK]")
    ] = None,
    run: Annotated[
        Path, typer.Option(help="Directory where features are cached for the next run.")
    ] = Path("runs/adapt"),
    export: Annotated[bool, typer.Option("--export", help="Export the head as well.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Add the figures to this file of results as well.")
    ] = None,
) -> None:
    """Freeze the network, train two layers on labelled data, and write them as a head.

    Inputs are a folder with a sub-folder of files per class, a table with a label column and a
    path or the values, or arrays; docs/adaptation.md has an example of each. The checkpoint that
    is written is ready for `omnivec2 export` and `omnivec2 head add`.

    Examples:

        omnivec2 adapt --modality image --task defects --data pictures --export

        omnivec2 adapt --modality text --task topic --data texts.csv --labels topic --fraction 0.1

        omnivec2 adapt --modality timeseries --task load --task-family forecasting --data load.csv

        omnivec2 adapt --modality text --task tags --task-family multi-label --data t.csv
        --labels tags

        omnivec2 adapt rte --data DATA
    """
    console = make_console()
    with one_line_errors(), needs_extra("train"), resumable(f"features in {run}"):
        from omnivec2.training.adaptation.adaptation_result import adapted_table, write_json
        from omnivec2.training.adaptation.adaptation_run import AdaptationPaths
        from omnivec2.training.adaptation.adaptation_run import adapt as run_adaptation

        changed = {"fraction": fraction, "skip_bad": skip_bad, "seed": seed,
                   "search_seconds": search_seconds, "horizon": horizon,
                   "context": context}  # fmt: skip
        given = {key: value for key, value in changed.items() if value is not None}
        if recipe is not None:
            request = _from_recipe(recipe, data, given)
        else:
            columns = {"label": labels, "input": inputs or (), "group": group, "time": time,
                       "lengths": lengths}  # fmt: skip
            request = _from_options(modality, task, data, test, columns, {
                "family": "classification" if task_family == "multi-label" else task_family,
                "multi_label": task_family == "multi-label",
                "targets": _targets(labels, unit) if task_family == "regression" else (),
                "sources": [{"name": name or _file_name(data), "licence": licence}],
                "description": description,
                **given,
            })  # fmt: skip
        target = out or Path("checkpoints") / model_name(request.route)
        result = run_adaptation(request, AdaptationPaths(checkpoint, run, target), console)
        console.print(adapted_table([result]))
        console.print(f"fitted with {result.chosen}; wrote {target}", markup=False)
        if json_file is not None:
            import torch

            write_json(result, json_file, threads=torch.get_num_threads())
    if export:
        _export(target)


def _from_recipe(recipe: str, data: list[Path] | None, given: dict[str, Any]) -> Any:
    """Return the request of a recipe; ``given`` are the options that replace its fields."""
    from omnivec2.training.adaptation.adaptation_request import (
        read_recipe,
        request_of,
        resolve_paths,
    )

    request = request_of(read_recipe(recipe) | given, recipe)
    root = data[0] if data else Path()
    test = None if request.test is None else resolve_paths(request.test, root)
    return request.model_copy(update={"train": resolve_paths(request.train, root), "test": test})


def _from_options(
    modality: Modality | None,
    task: str,
    data: list[Path] | None,
    test: Path | None,
    columns: dict[str, Any],
    fields: dict[str, Any],
) -> Any:
    """Return the request that the options describe."""
    from omnivec2.training.adaptation.adaptation_request import request_of, resolve_paths
    from omnivec2.training.modalities import modality_training

    if modality is None or not data:
        raise typer.BadParameter("give --modality and --data, or a recipe")
    values = fields | {"route": f"{modality.value}/{task}", "train": {"path": data, **columns}}
    if fields["family"] == "classification" and not fields["multi_label"]:
        values["family"] = modality_training(modality).adaptation.class_family
    if test is not None:
        values["test"] = {"path": [test], **columns}
        values["test_name"] = test.name
    request = request_of(values, "the options")
    held = None if request.test is None else resolve_paths(request.test, Path())
    return request.model_copy(update={"train": resolve_paths(request.train, Path()), "test": held})


def _targets(labels: str | None, unit: str) -> list[dict[str, str]]:
    """Return the quantities that are fitted, with their unit."""
    return [{"name": name, "unit": unit} for name in _target_names(labels)]


def _target_names(labels: str | None) -> list[str]:
    """Return the names of the quantities: columns of the table, or of the file that lists them."""
    from omnivec2.training.data.stored_arrays import is_arrays
    from omnivec2.training.data.table_files import read_table

    path = Path(labels or "value")
    if not path.is_file():
        return [each.strip() for each in str(labels or "value").split(",")]
    return [path.stem] if is_arrays(path) else list(read_table(path).columns)[1:]


def _file_name(data: list[Path] | None) -> str:
    return data[0].name if data else ""


def _export(checkpoint: Path) -> None:
    with one_line_errors(), needs_extra("export"):
        from export.export_run import export_checkpoint, require_ok
        from export.repository.layouts import Layout

        require_ok(export_checkpoint(checkpoint, layouts=list(Layout)))
