"""``omnivec2 evaluate --all``: every head with intervals, as a results file and tables."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from omnivec2.checkpoint import read_checkpoint

if TYPE_CHECKING:
    from omnivec2.training.evaluation.all_heads.head_tests import MeasuringOptions
    from omnivec2.training.evaluation.evaluate_heads import OpenHead
    from omnivec2.training.evaluation.record.looks_ledger import LooksLedger

PUBLISHED = Path("docs/published.yaml")
"""What others have reached, by route, where the repository is at hand."""

_PACKAGES = ("torch", "openvino")


@dataclass(frozen=True)
class WholeEvaluation:
    """The choices of a measurement of all heads.

    Attributes:
        checkpoint: The checkpoint.
        data: The directory of data sets.
        kept: The folder where answers and figures of heads are kept.
        results: The folder for the results file and its tables.
        engine: The engine and precision in words.
        open_head: A function that opens a head's graphs in it.
        options: The choices of what is measured of every test.
        ledger: The ledger of looks at test parts; None for none.
        again: Whether kept answers and figures are not used.
    """

    checkpoint: Path
    data: Path
    kept: Path
    results: Path
    engine: str
    open_head: OpenHead
    options: MeasuringOptions
    ledger: LooksLedger | None
    again: bool

    def run(self, console: Console, only: list[str] | None) -> None:
        """Measure the heads, print their figures and write the results.

        Args:
            console: The console for progress and the table.
            only: The routes to measure; all if None.
        """
        if self.again:
            with tempfile.TemporaryDirectory() as folder:
                self._run(console, only, Path(folder))
        else:
            self._run(console, only, self.kept)

    def _run(self, console: Console, only: list[str] | None, kept: Path) -> None:
        from omnivec2.terminal import make_console
        from omnivec2.training.data import DEFAULT_CACHE
        from omnivec2.training.data.base import DataDirectories
        from omnivec2.training.evaluation.all_heads.measure_all import AllHeads, shown_on
        from omnivec2.training.evaluation.record.published_figures import published_figures
        from omnivec2.training.evaluation.record.results_file import (
            joined_with_earlier,
            results_now,
            write_results,
        )
        from omnivec2.training.evaluation.record.results_tables import terminal_table, write_tables

        heads = AllHeads(
            self.checkpoint, DataDirectories(self.data, DEFAULT_CACHE), kept, self.engine,
            self.open_head, self.options, self.ledger,
        )  # fmt: skip
        with shown_on(make_console(stderr=True)) as progress:
            figures = [one for _, found in heads.measure(progress, only) for one in found]
        published = published_figures(PUBLISHED)
        console.print(terminal_table(figures, published))
        results = results_now(
            figures,
            model=self.checkpoint.name,
            checkpoint=read_checkpoint(self.checkpoint).digest,
            engine=self.engine,
            packages=[name for name in _PACKAGES if find_spec(name)],
            most_samples=self.options.most_samples,
        )
        if only:
            results = joined_with_earlier(results, self.results)
        written = [write_results(results, self.results)]
        written += write_tables(results, published, self.results)
        console.print(f"wrote {', '.join(map(str, written))}")
