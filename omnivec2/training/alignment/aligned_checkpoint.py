"""The checkpoint of an alignment: the frozen network with a head per modality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omnivec2.checkpoint import write_checkpoint
from omnivec2.network.omnivec2 import module_name
from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import HeadSpec, Metric, Modality, TaskFamily, TensorSpec
from omnivec2.training.adaptation.fitting.fit_layers import state_of
from omnivec2.training.adaptation.frozen_network import TRUNK_PREFIX
from omnivec2.training.alignment.alignment_request import AlignmentResult, AlignRequest
from omnivec2.training.alignment.fit_projections import Heads
from omnivec2.training.alignment.frozen_features import AlignedModality


def write_aligned_checkpoint(
    request: AlignRequest,
    members: Mapping[Modality, AlignedModality],
    heads: Heads,
    result: AlignmentResult,
) -> None:
    """Write the trunk and tokenizers of the base unchanged, with the fitted heads.

    Args:
        request: The request of the alignment.
        members: The aligned modalities.
        heads: The fitted head of each modality.
        result: The measurements, which go into the head specs.
    """
    base = next(iter(members.values())).base
    stored, fitted = base.part(TRUNK_PREFIX), {}
    tokenizers: dict[str, Any] = {}
    for modality, member in members.items():
        (name,) = member.network.tokenizers
        prefix = f"tokenizers.{name}."
        tokenizers |= member.network.config.tokenizers
        for key, value in state_of(heads[modality]).items():
            fitted[f"heads.{module_name(member.route)}.{key}"] = value
        if member.own_tokenizer:
            state = state_of(member.network.tokenizers[name])
            fitted |= {f"{prefix}{key}": value for key, value in state.items()}
        else:
            stored |= member.base.part(prefix)
    config = base.config.model_copy(
        update={
            "tokenizers": tokenizers,
            "heads": {member.route: member.head for member in members.values()},
        }
    )
    specs = [_head_spec(request, modality, member, result) for modality, member in members.items()]
    write_checkpoint(
        request.out, config=config.model_dump(mode="json"), tensors=fitted,
        heads=specs, stored=stored,
    )  # fmt: skip


def _head_spec(
    request: AlignRequest, modality: Modality, member: AlignedModality, result: AlignmentResult
) -> HeadSpec:
    data = request.data
    named = (Modality.TEXT,) if data.names else ()
    others = [m.value for m in (*data.streams, *named) if m is not modality]
    preprocessor = preprocessor_for(member.preprocess)
    digest = member.base.checkpoint.digest[:12]
    return HeadSpec(
        modality=modality,
        task=request.task,
        family=TaskFamily.EMBEDDING,
        description=f"A vector that lies close to those of the same thing as {data.name} has "
        f"it in other modalities: {', '.join(f'{m}/{request.task}' for m in others)}.",
        inputs=preprocessor.inputs,
        outputs=(TensorSpec(name="embedding", dtype="float32", shape=(request.dimensions,)),),
        preprocess=member.preprocess,
        limits=preprocessor.limits,
        data=data.sources,
        metrics=tuple(
            Metric(
                name=f"recall@{k} of {row.found}", dataset=data.test_name, split="test",
                samples=row.queries, value=row.recall[k], baselines={"chance": row.chance[k]},
            )
            for row in result.recalls
            if row.asked == modality.value
            for k in row.recall
        ),
        warm_starts=(*member.base.head.warm_starts, f"frozen network of checkpoint {digest}"),
        network=member.base.config.preset,
    )  # fmt: skip
