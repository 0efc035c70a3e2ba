"""Entry point of ``omnivec2``: registers the commands.

Heavy packages are imported by the command that needs them, inside its function, so that
``--help`` is quick and a serving installation works without torch.
"""

from __future__ import annotations

import typer

from omnivec2_cli.commands.assemble import assemble
from omnivec2_cli.commands.batch import batch
from omnivec2_cli.commands.data import data_app
from omnivec2_cli.commands.engines import engines
from omnivec2_cli.commands.export import export
from omnivec2_cli.commands.head import heads_app
from omnivec2_cli.commands.key import keys_app
from omnivec2_cli.commands.models import models
from omnivec2_cli.commands.predict import predict
from omnivec2_cli.commands.serve import serve
from omnivec2_cli.commands.sharing.card import card
from omnivec2_cli.commands.sharing.pull import pull
from omnivec2_cli.commands.sharing.push import push
from omnivec2_cli.commands.training.ablate import ablate
from omnivec2_cli.commands.training.adapt import adapt
from omnivec2_cli.commands.training.align import align
from omnivec2_cli.commands.training.calibrate import calibrate
from omnivec2_cli.commands.training.distill import distill
from omnivec2_cli.commands.training.evaluate import evaluate
from omnivec2_cli.commands.training.familiarity import familiarity
from omnivec2_cli.commands.training.fit import fit
from omnivec2_cli.commands.training.gap import gap
from omnivec2_cli.commands.training.train import train

_SERVING = (serve, predict, batch, models, assemble)
_TRAINING = (
    *(train, adapt, align, distill, fit, calibrate),
    *(evaluate, familiarity, gap, ablate),
)
_EXPORT = (export, engines)
_SHARING = (push, pull, card)

app = typer.Typer(
    name="omnivec2",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Serve one network that takes any modality and does any task.\n\n"
    "Start with `omnivec2 serve`, or `omnivec2 predict image/classification cat.jpg`.",
)
for _command in (*_SERVING, *_TRAINING, *_EXPORT, *_SHARING):
    app.command()(_command)
app.add_typer(heads_app, name="head")
app.add_typer(data_app, name="data")
app.add_typer(keys_app, name="key")


def main() -> None:
    """Run the ``omnivec2`` command."""
    app()


if __name__ == "__main__":
    main()
