"""From the fitted parts to a checkpoint: the base's trunk bit for bit, and one head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omnivec2.checkpoint import Checkpoint, write_checkpoint
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.preprocess import Preprocessor
from omnivec2.spec import HeadSpec, TaskFamily, TensorSpec
from omnivec2.training.adaptation.adaptation_request import AdaptRequest
from omnivec2.training.adaptation.fitting.fit_layers import state_of
from omnivec2.training.adaptation.frozen_network import TRUNK_PREFIX, Base
from omnivec2.training.adaptation.reading.input_choice import preprocess_spec_of


def head_spec(
    request: AdaptRequest,
    base: Base,
    preprocessor: Preprocessor[Any, Any],
    labels: tuple[str, ...],
    thresholds: tuple[float, ...] = (),
) -> HeadSpec:
    """Return the spec of the new head, without metrics yet.

    Args:
        request: The request, with the route, data and targets.
        base: The frozen network, which is named among the warm starts.
        preprocessor: The pre-processor that makes the inputs.
        labels: The names of the classes or tags.
        thresholds: The probability from which each tag is answered.
    """
    digest = base.checkpoint.digest[:12]
    return HeadSpec(
        modality=request.modality,
        task=request.route.partition("/")[2],
        family=request.family,
        description=request.description,
        inputs=preprocessor.inputs,
        outputs=_outputs(request, len(labels)),
        preprocess=preprocess_spec_of(preprocessor),
        labels=labels,
        targets=request.targets if request.family is TaskFamily.REGRESSION else (),
        thresholds=thresholds,
        quantiles=request.quantiles if request.is_forecast else (),
        horizon=request.horizon if request.is_forecast else None,
        limits=preprocessor.limits,
        data=request.sources,
        warm_starts=(*base.head.warm_starts, f"frozen network of checkpoint {digest}"),
        network=base.config.preset,
    )


def _outputs(request: AdaptRequest, classes: int) -> tuple[TensorSpec, ...]:
    """Return the outputs with the names and shapes that two layers give them."""

    def tensor(name: str, *shape: int) -> TensorSpec:
        return TensorSpec(name=name, dtype="float32", shape=shape)

    if not request.is_forecast:
        is_regression = request.family is TaskFamily.REGRESSION
        return (tensor("values", len(request.targets)) if is_regression else
                tensor("logits", classes),)  # fmt: skip
    mean, levels = tensor("mean", request.horizon), len(request.quantiles)
    return (mean, tensor("quantiles", levels, request.horizon)) if levels else (mean,)


def write_adapted(
    directory: Path, base: Base, network: OmniVec2, head: HeadSpec, *, own_tokenizer: bool
) -> Checkpoint:
    """Write a checkpoint of the trunk, one tokenizer and one head.

    Tensors of the base are kept as they are stored, so that the shared layout of a service
    that runs the base finds the trunk that it has already loaded.

    Raises:
        CheckpointError: A fitted weight is not finite.
        OSError: The disk is full or read-only.
    """
    (tokenizer,) = network.tokenizers
    stored = base.part(TRUNK_PREFIX)
    fitted = {
        f"heads.{module_name(head.route)}.{name}": value
        for name, value in state_of(network.heads[module_name(head.route)]).items()
    }
    prefix = f"tokenizers.{tokenizer}."
    if own_tokenizer:
        state = state_of(network.tokenizers[tokenizer])
        fitted |= {f"{prefix}{name}": value for name, value in state.items()}
    else:
        stored |= base.part(prefix)
    config = network.config.model_dump(mode="json")
    return write_checkpoint(directory, config=config, tensors=fitted, heads=[head], stored=stored)
