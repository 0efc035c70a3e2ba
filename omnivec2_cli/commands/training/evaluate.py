"""``omnivec2 evaluate``: measure heads on their test sets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from omnivec2.checkpoint import read_checkpoint
from omnivec2.errors import InvalidParameterError
from omnivec2.passport import EnginePrecision
from omnivec2.spec import HeadSpec
from omnivec2.terminal import make_console
from omnivec2_cli.commands.assemble import update_repository
from omnivec2_cli.errors import needs_extra, one_line_errors
from omnivec2_cli.options import (
    DEFAULT_CHECKPOINT,
    DEFAULT_WHOLE_GRAPHS,
    CheckpointOption,
    DataOption,
    HeadsArgument,
    JsonFileOption,
    SplitOption,
    WholeGraphsOption,
)
from omnivec2_cli.whole_evaluation import WholeEvaluation

if TYPE_CHECKING:
    from omnivec2.training.evaluation.evaluate_heads import LoadTask, OpenHead
    from omnivec2.training.evaluation.metrics.head_result import HeadResult
    from omnivec2.training.evaluation.record.looks_ledger import LooksLedger

_DIGITS = 12
"""The digits of a checkpoint's digest that tell it from others."""


def evaluate(
    data: DataOption,
    routes: HeadsArgument = None,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    model_repo: WholeGraphsOption = DEFAULT_WHOLE_GRAPHS,
    split: SplitOption = "test",
    labelled: Annotated[
        list[Path] | None,
        typer.Option(
            help="New labelled files to measure one head on, in any form that `omnivec2 adapt` "
            "takes, instead of its own test set."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="With --labelled: label column or array, or a CSV of file and label."),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="With --labelled: column or array of the inputs."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="With --labelled: column that identifies a recording.")
    ] = None,
    lengths: Annotated[
        str | None, typer.Option(help="With --labelled: key of the lengths of recordings.")
    ] = None,
    skip_bad: Annotated[
        int, typer.Option(min=0, help="With --labelled: number of inputs that may fail to decode.")
    ] = 0,
    most_samples: Annotated[
        int | None,
        typer.Option(min=1, help="Measure on at most this many samples, for a quick look."),
    ] = None,
    unseen: Annotated[
        bool,
        typer.Option(
            "--unseen",
            help="Measure embeddings also on data that nothing was trained on, beside the network "
            "they learned from.",
        ),
    ] = False,
    save: Annotated[
        bool, typer.Option("--save", help="Write the figures into the checkpoint's head specs.")
    ] = False,
    json_file: JsonFileOption = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a report with pictures into this folder.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="Compare this engine of `omnivec2 serve` with float32; fail if it loses. "
            "`auto` takes the engine that serves each head here."
        ),
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "int8"],
        typer.Option(help="Precision that the engine computes in; auto takes what serves a head."),
    ] = "auto",
    all_heads: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Measure every head as it is served here: intervals, simple models, calibration, "
            "unseen data, and small data sets in five folds; write a results file and tables. "
            "What was interrupted is continued, and what has not changed is not measured again.",
        ),
    ] = False,
    results_folder: Annotated[
        Path, typer.Option("--results", help="With --all: folder for results file and tables.")
    ] = Path("runs/evaluation"),
    again: Annotated[
        bool, typer.Option("--again", help="With --all: measure anew what is known, too.")
    ] = False,
    reason: Annotated[
        str, typer.Option(help="Why the test parts are looked at, for the ledger of looks.")
    ] = "figures of a checkpoint",
    ledger: Annotated[
        Path,
        typer.Option(
            envvar="OMNIVEC2_TEST_LOOKS",
            help="Ledger of looks at test parts: a line is added for every figure of one.",
        ),
    ] = Path("docs/test-looks.jsonl"),
    no_ledger: Annotated[
        bool, typer.Option("--no-ledger", help="Write no looks down: for tests and trials only.")
    ] = False,
) -> None:
    """Measure heads through their exported graphs, and simple models on the same arrays.

    With `--engine` the same metrics are measured through that engine as it serves the shared
    layout, beside those of ONNX Runtime in float32. The command fails if a metric is worse by more
    than half a point: 0.005 of a score, or 0.5 % of an error.

    Examples:

        omnivec2 evaluate --data /data

        omnivec2 evaluate image/classification --split val --most-samples 200

        omnivec2 evaluate --data /data --report runs/seen

        omnivec2 evaluate --data /data text/embedding image/embedding --unseen

        omnivec2 evaluate --engine onnxruntime --most-samples 200 image/classification

        omnivec2 evaluate -c checkpoints/tabular_wine --labelled new.csv --labels cultivar

        omnivec2 evaluate --all --reason "new heads" --results docs/evaluations
    """
    console = make_console()
    if labelled is None and (labels or inputs or group or lengths or skip_bad):
        raise typer.BadParameter("--labels, --input, --group, --lengths and --skip-bad describe "
                                 "--labelled")  # fmt: skip
    if labelled is not None and (save or unseen or split != "test"):
        raise typer.BadParameter(
            "--save, --unseen and --split are for a head's own data, not --labelled"
        )
    if engine is not None and (save or report is not None):
        raise typer.BadParameter("--save and --report are for the figures without --engine")
    if all_heads and (save or unseen or report or labelled or json_file):
        raise typer.BadParameter("--all writes its own results and takes no --save, --unseen, "
                                 "--report, --labelled or --json")  # fmt: skip
    if again and not all_heads:
        raise typer.BadParameter("--again is for --all")
    with one_line_errors(), needs_extra("train"):
        from omnivec2.training.data import DEFAULT_CACHE
        from omnivec2.training.evaluation.all_heads.head_tests import MeasuringOptions
        from omnivec2.training.evaluation.evaluate_heads import (
            evaluate_checkpoint,
            save_metrics,
        )
        from omnivec2.training.evaluation.evaluation_report import results_table, write_json
        from omnivec2.training.evaluation.training_report import Report

        # Figures are measured on whole graphs; the export checks that the parts give equal answers.
        looks = None if no_ledger else _ledger(checkpoint, ledger, reason)
        shared = model_repo.with_name(f"{model_repo.name}-shared")
        if all_heads:
            update_repository(console, checkpoint, shared, "shared")
            name = engine or "auto"
            WholeEvaluation(
                checkpoint, data, model_repo.with_name(f"{model_repo.name}-answers"),
                results_folder, name if precision == "auto" else f"{name} {precision}",
                _head_opener(shared, name, precision),
                MeasuringOptions(split, most_samples, DEFAULT_CACHE), looks, again,
            ).run(console, routes or None)  # fmt: skip
            return
        update_repository(console, checkpoint, model_repo, "fused")
        pages = None if report is None else Report(report)
        measure = partial(
            evaluate_checkpoint,
            checkpoint,
            data,
            model_repo,
            only=routes or None,
            split=split,
            most_samples=most_samples,
            console=console,
            unseen=unseen,
            ledger=looks,
            load=None if labelled is None else _loader(checkpoint, routes, labelled, skip_bad, {
                "label": labels, "input": inputs or (), "group": group, "lengths": lengths,
            }),
        )  # fmt: skip
        if engine is not None:
            update_repository(console, checkpoint, shared, "shared")
            open_head = _head_opener(shared, engine, precision)
            name = engine if precision == "auto" else f"{engine} {precision}"
            _compare(console, measure, open_head, name, json_file)
            return
        results = measure(on_answers=None if pages is None else pages.add_answers)
        console.print(results_table(results))
        if json_file is not None:
            write_json(results, json_file)
        if pages is not None:
            console.print(f"wrote {pages.write(results)}")
        if save:
            save_metrics(checkpoint, results)


def _ledger(checkpoint: Path, file: Path, reason: str) -> LooksLedger:
    """Return the ledger that looks at this checkpoint's test parts are written to."""
    from omnivec2.training.evaluation.record.looks_ledger import LooksLedger

    return LooksLedger(file, reason, read_checkpoint(checkpoint).digest[:_DIGITS])


def _loader(
    checkpoint: Path,
    routes: list[str] | None,
    labelled: list[Path],
    skip_bad: int,
    columns: dict[str, Any],
) -> LoadTask:
    """Return a function that loads labelled files for the one head that is measured."""
    from omnivec2.training.adaptation.adaptation_request import DataPart, resolve_paths
    from omnivec2.training.adaptation.reading.labelled_task import labelled_task
    from omnivec2.training.evaluation.evaluate_heads import read_heads

    heads = read_heads(checkpoint, routes or None)
    if len(heads) != 1:
        raise InvalidParameterError(
            f"--labelled measures one head; name one of {', '.join(head.route for head in heads)}"
        )
    paths = tuple(map(str, labelled))
    part = resolve_paths(DataPart.model_validate({"path": paths, **columns}), Path())
    return partial(labelled_task, part=part, name=labelled[0].name, skip_bad=skip_bad)


def _head_opener(
    repository: Path, engine: str, precision: Literal["auto"] | EnginePrecision
) -> OpenHead:
    """Return a function that opens a head's graphs in an engine of the service."""
    from omnivec2.training.evaluation.graph_sessions import HeadRunner
    from service.runtimes.embedded.engine_heads import EngineHeads, open_served_heads
    from service.runtimes.embedded.engines.base import LoadOptions
    from service.runtimes.embedded.engines.find_engine import find_engine
    from service.setting_groups.work_settings import available_cores
    from service.settings import Settings

    if engine == "auto" or precision == "auto":
        settings = Settings(
            model_repo=repository,
            engine=engine,
            engine_precision=precision,
            inference_threads=1,
            intra_op_threads=available_cores(),
        )
        open_engine_head = open_served_heads(settings)
    else:
        options = LoadOptions(precision, threads=available_cores())
        open_engine_head = EngineHeads(repository, find_engine(engine), options).open

    def open_head(spec: HeadSpec) -> HeadRunner:
        head = open_engine_head(spec.name)
        return HeadRunner(head.run, head.decode if spec.generation else None)

    return open_head


def _compare(
    console: Console,
    measure: Callable[..., list[HeadResult]],
    open_head: OpenHead,
    name: str,
    json_file: Path | None,
) -> None:
    """Measure heads in float32 and in an engine, and print both.

    Args:
        console: The console for the table.
        measure: ``evaluate_checkpoint`` with its first arguments.
        open_head: Opens a head's graphs in the engine.
        name: The name of the engine in the table.
        json_file: The file for the figures, if there is to be one.

    Raises:
        OmniVecError: A metric is worse than in float32.
    """
    from omnivec2_cli.engine_comparison import (
        compare_results,
        comparison_table,
        require_kept,
        write_comparison,
    )

    reference = measure(with_baselines=False)
    # The same look at the same test: it is written down once.
    served = measure(with_baselines=False, open_head=open_head, ledger=None)
    compared = compare_results(reference, served)
    console.print(comparison_table(compared, name))
    if json_file is not None:
        write_comparison(compared, name, json_file)
    require_kept(compared, name)
