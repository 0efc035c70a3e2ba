"""``omnivec2 distill``: give a modality's embedding what its teacher's vectors tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from omnivec2.checkpoint import dequantise, quantise, write_checkpoint
from omnivec2.errors import UnknownModelError
from omnivec2.network.config import OWN_SUMMARIES, HeadConfig, Summary
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.network.tokenizers.visual import ImageTokenizer
from omnivec2.network.warmstart import load_deep_blocks
from omnivec2.preprocess import Array, Sample, preprocessor_for
from omnivec2.spec import DataSource, HeadSpec, Modality, TaskFamily, TensorSpec
from omnivec2.training.adaptation.fitting.fit_layers import state_of
from omnivec2.training.adaptation.fitting.frozen_summaries import summarise
from omnivec2.training.adaptation.frozen_network import Base, build_network, load_base, load_into
from omnivec2.training.adaptation.progress_report import Start, progress_report
from omnivec2.training.data.base import DataDirectories
from omnivec2.training.distillation.deep_blocks import EPOCHS, train_deep_blocks
from omnivec2.training.distillation.distil_head import (
    Distilled,
    KeptSummary,
    axes_of,
    distil,
    kept_vectors,
)
from omnivec2.training.distillation.teachers import TEACHERS, Teacher
from omnivec2.training.distillation.unlabelled_inputs import UNLABELLED

SUMMARIES: dict[Modality, tuple[Summary, ...]] = {
    Modality.TEXT: ("f_mean", "f_input_mean"),
    Modality.IMAGE: ("f_mean", "f_input_mean", "deep"),
}
"""What the head of a modality sees, all of it from before f narrows the tokens.

Without ``token_`` summaries a head shares the tokenizer part of other heads."""

DEEP_BLOCKS: dict[Modality, int] = {Modality.IMAGE: 6}
"""The blocks of the teacher that a tokenizer gets as a branch, if it has none; they are trained."""

DIMENSIONS: dict[Modality, int] = {Modality.TEXT: 384, Modality.IMAGE: 256}

KEPT: dict[Modality, tuple[KeptSummary, ...]] = {
    Modality.TEXT: (
        KeptSummary("f_input_mean", weight=0.6, axes=256, evenness=1.0),
        KeptSummary("f_mean", weight=0.35, axes=384, evenness=0.0),
    ),
}
"""What a head keeps of its own network. Searches need the words of a sentence, likeness of meaning
what the transformer makes of them. Pictures keep nothing: 128 evened-out axes of their tokens
help in float32, but need large weights that cancel, which rounding to int8 makes useless."""


@dataclass(frozen=True)
class DistillRequest:
    """The paths of a distillation.

    Attributes:
        modality: The modality whose embedding is fitted.
        data: The directory of data sets.
        cache: The directory of prepared arrays.
        base: The checkpoint; everything but this head stays as it is.
        out: The checkpoint to write; it may be the base.
        run: The directory of summaries, which are kept for the next time.
        seed: The seed of the choice of inputs.
    """

    modality: Modality
    data: Path
    cache: Path
    base: Path
    out: Path
    run: Path
    seed: int = 0


def distill(request: DistillRequest, console: Console) -> Distilled:
    """Fit the embedding of a modality to its teacher, and write the checkpoint.

    Raises:
        UnknownModelError: There is no teacher for the modality, or no embedding in the base.
        ArtifactError: Data is missing, or the base is incomplete.
    """
    if request.modality not in TEACHERS:
        known = ", ".join(modality.value for modality in TEACHERS)
        raise UnknownModelError(
            f"no teacher for {request.modality.value}; there is one for {known}"
        )
    base = load_base(request.base, request.modality)
    if not base.head.is_embedding:
        raise UnknownModelError(f"{request.base} has no embedding of {request.modality.value}")
    teacher = TEACHERS[request.modality]().requires_grad_(False).eval()
    route = base.head.route
    base = base.with_f_mean()
    deeper = base.with_deep_blocks(DEEP_BLOCKS.get(request.modality, 0))
    has_new_blocks, base = deeper is not base, deeper
    lacking = OWN_SUMMARIES - base.config.tokenizers[base.tokenizer].own_widths.keys()
    config = HeadConfig(
        family=TaskFamily.EMBEDDING, tokenizer=base.tokenizer, layers="fc",
        outputs=DIMENSIONS[request.modality], hidden=2 * DIMENSIONS[request.modality],
        summaries=tuple(n for n in SUMMARIES[request.modality] if n not in lacking),
    )  # fmt: skip
    network = build_network(base, route, config, None)
    unlabelled = UNLABELLED[request.modality]
    directories = DataDirectories(request.data, request.cache)
    preprocessor = preprocessor_for(base.head.preprocess)
    samples = unlabelled.samples(preprocessor, directories, request.seed)
    deep: dict[str, Array] = {}
    with progress_report(console) as start:
        vectors = kept_vectors(
            teacher, samples, request.run, start("the teacher's vectors", len(samples))
        )
        mean, axes = axes_of(
            vectors, config.outputs, is_centred=teacher.is_centred, evenness=teacher.evenness
        )
        taught = (vectors - mean) @ axes.T
        if has_new_blocks:
            deep = _trained_blocks(network, base.tokenizer, samples, taught, request.seed, start)
        seen = summarise(
            network, route, samples, request.run, start("the network's summaries", len(samples)),
            names=config.summaries,
        )  # fmt: skip
    trunk = network.config.trunk
    torch.manual_seed(request.seed)
    own = network.config.tokenizers[config.tokenizer].own_widths
    distilled = distil(
        config, seen, taught, (trunk.g.width, trunk.f.width), KEPT.get(request.modality, ()), own
    )
    _write(request, base, config, distilled, deep, teacher, unlabelled.sources)
    return distilled


def _trained_blocks(
    network: OmniVec2, tokenizer: str, samples: Sequence[Sample], taught: Array, seed: int,
    start: Start,
) -> dict[str, Array]:  # fmt: skip
    """Train the deep blocks of a tokenizer, round them as a checkpoint does, and return them."""
    module = network.tokenizers[tokenizer]
    assert isinstance(module, ImageTokenizer)
    load_deep_blocks(module.deep)
    advance = start("deep blocks", (1 + EPOCHS) * len(samples))
    train_deep_blocks(module, samples, taught, seed, advance, epochs=EPOCHS)
    prefix = f"tokenizers.{tokenizer}.deep."
    trained = {f"{prefix}{name}": value for name, value in state_of(module.deep).items()}
    load_into(network, dequantise(quantise(trained)))
    return trained


def _write(
    request: DistillRequest, base: Base, config: HeadConfig, distilled: Distilled,
    deep: Mapping[str, Array], teacher: Teacher, sources: tuple[DataSource, ...],
) -> None:  # fmt: skip
    route = base.head.route
    prefix = f"heads.{module_name(route)}."
    stored = {name: array for name, array in base.stored.items() if not name.startswith(prefix)}
    fitted = {f"{prefix}{name}": value for name, value in state_of(distilled.head).items()}
    network = base.config.model_copy(update={"heads": {**base.config.heads, route: config}})
    others = [head for head in base.checkpoint.heads if head.route != route]
    write_checkpoint(
        request.out, config=network.model_dump(mode="json"), tensors={**fitted, **deep},
        stored=stored, heads=[*others, _spec(base.head, config, teacher, sources)],
    )  # fmt: skip


def _spec(
    head: HeadSpec, config: HeadConfig, teacher: Teacher, sources: tuple[DataSource, ...]
) -> HeadSpec:
    """Return the spec of the fitted head, without metrics yet."""
    return head.model_copy(
        update={
            "description": f"A vector that is close to those of alike inputs, as {teacher.source} "
            f"has them. Its first numbers tell most: it may be cut off at any length.",
            "outputs": (TensorSpec(name="embedding", dtype="float32", shape=(config.outputs,)),),
            "metrics": (),
            "data": tuple(dict.fromkeys((*head.data, *sources))),
            "warm_starts": tuple(dict.fromkeys((*head.warm_starts, teacher.source))),
        }
    )
