"""``omnivec2 distill``: fit an embedding to the vectors of a pretrained network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnivec2.spec import Modality
from omnivec2.terminal import make_console
from omnivec2_cli.errors import needs_extra, one_line_errors
from omnivec2_cli.options import DEFAULT_CHECKPOINT, CheckpointOption, DataOption


def distill(
    modality: Annotated[Modality, typer.Argument(help="Modality whose embedding is fitted.")],
    data: DataOption,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    out: Annotated[Path, typer.Option(help="Checkpoint to write.")] = Path("checkpoints/distilled"),
    run: Annotated[
        Path, typer.Option(help="Directory where features are cached for the next run.")
    ] = Path("runs/distill"),
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Fit the embedding of a modality to what a pretrained network makes of unlabelled inputs.

    The network is frozen: no other head's answers change. Text learns from all-MiniLM-L6-v2,
    pictures from EfficientNet-Lite0, the networks that training started from. A picture's
    tokenizer also gets a branch of its stem, which takes a quarter of an hour on two cores. The
    checkpoint that is written has every head of the old one.

    Examples:

        omnivec2 distill text --data /data

        omnivec2 distill image --data /data --checkpoint checkpoints/mine --out checkpoints/mine
    """
    console = make_console()
    with one_line_errors(), needs_extra("train"):
        from omnivec2.training.data import DEFAULT_CACHE
        from omnivec2.training.distillation.distillation_run import DistillRequest
        from omnivec2.training.distillation.distillation_run import distill as run_distillation

        request = DistillRequest(modality, data, DEFAULT_CACHE, checkpoint, out, run, seed)
        distilled = run_distillation(request, console)
        console.print(
            f"{modality.value}/embedding: mean cosine {distilled.likeness:.3f} with the teacher's "
            f"vectors on inputs held out of the fit; wrote {out}",
            markup=False,
        )
