"""The model card of a checkpoint, ``README.md``: all of it comes from the head specs.

The metadata at its top is that of the Hugging Face Hub
(https://huggingface.co/docs/hub/model-cards#model-card-metadata), so that figures show there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from omnivec2.checkpoint import Checkpoint
from omnivec2.errors import ArtifactError
from omnivec2.preprocess import preprocessor_type
from omnivec2.spec import HeadSpec, Limits, Metric, Modality, TaskFamily

OTHER_LICENCE = "other"
_LIBRARY = "omnivec2"

_PIPELINES: Mapping[tuple[TaskFamily, Modality | None], str] = {
    # Models for STS-B, which answer with a number, are found under this name.
    (TaskFamily.REGRESSION, Modality.TEXT): "text-classification",
    (TaskFamily.CLASSIFICATION, Modality.AUDIO): "audio-classification",
    (TaskFamily.CLASSIFICATION, Modality.GRAPH): "graph-ml",
    (TaskFamily.CLASSIFICATION, Modality.TABULAR): "tabular-classification",
    (TaskFamily.CLASSIFICATION, Modality.TEXT): "text-classification",
    (TaskFamily.CLASSIFICATION, Modality.VIDEO): "video-classification",
    (TaskFamily.CLASSIFICATION, None): "image-classification",
    (TaskFamily.DETECTION, None): "object-detection",
    (TaskFamily.SEGMENTATION, None): "image-segmentation",
    (TaskFamily.REGRESSION, Modality.GRAPH): "graph-ml",
    (TaskFamily.REGRESSION, Modality.TABULAR): "tabular-regression",
    (TaskFamily.FORECASTING, None): "time-series-forecasting",
    (TaskFamily.SUMMARIZATION, None): "summarization",
    (TaskFamily.EMBEDDING, None): "feature-extraction",
}
"""The hub's names of tasks; those of pictures stand for what else is an array."""

_UNITS = {"bytes": "bytes", "decoded_bytes": "bytes once decoded"}
_MOST_LABELS = 12


def write_card(checkpoint: Checkpoint, name: str, licence: str | None = None) -> str:
    """Return the model card of a checkpoint.

    Args:
        checkpoint: The checkpoint.
        name: The name of the model.
        licence: The licence of the weights, as the hub spells it (``apache-2.0``); by default
            ``other``, with the licences of the data below.
    """
    import yaml

    heads = checkpoint.heads
    metadata = yaml.safe_dump(
        _metadata(checkpoint, name, licence), sort_keys=False, allow_unicode=True, width=100
    )
    sections = [
        f"---\n{metadata}---",
        f"# {name}",
        _introduction(checkpoint),
        "## Heads",
        _heads_table(heads),
        "## Figures",
        _figures(heads),
        "## Training data and licences",
        _data(heads, licence),
        "## Limits",
        _limits(heads),
        "## Use",
        _use(heads, name),
    ]
    return "\n\n".join(sections) + "\n"


def _metadata(checkpoint: Checkpoint, name: str, licence: str | None) -> dict[str, Any]:
    heads = checkpoint.heads
    pipelines = list(dict.fromkeys(filter(None, map(pipeline_of, heads))))
    fields: dict[str, Any] = {"library_name": _LIBRARY, "license": licence or OTHER_LICENCE}
    if licence is None:
        fields["license_name"] = "see-training-data"
    if len(pipelines) == 1:
        fields["pipeline_tag"] = pipelines[0]
    modalities = sorted({head.modality.value for head in heads})
    fields["tags"] = [_LIBRARY, "multimodal", "multitask", "onnx", *modalities]
    results = [
        _result(head, metric) for head in heads for metric in head.metrics if pipeline_of(head)
    ]
    if results:
        fields["model-index"] = [{"name": name, "results": results}]
    return fields


def pipeline_of(head: HeadSpec) -> str | None:
    """Return the hub's name of a head's task; None if it has none."""
    own = _PIPELINES.get((head.family, head.modality))
    return own or _PIPELINES.get((head.family, None))


def _result(head: HeadSpec, metric: Metric) -> dict[str, Any]:
    return {
        "task": {"type": pipeline_of(head), "name": head.route},
        "dataset": {"type": _slug(metric.dataset), "name": metric.dataset, "split": metric.split},
        "metrics": [{"type": _slug(metric.name), "name": metric.name, "value": metric.value}],
    }


def _introduction(checkpoint: Checkpoint) -> str:
    heads = checkpoint.heads
    preset = checkpoint.config.get("preset", heads[0].network if heads else "unknown")
    modalities = sorted({head.modality.value for head in heads})
    starts = sorted({start for head in heads for start in head.warm_starts})
    lines = [
        f"A network of OmniVec2 (preset `{preset}`) with {len(heads)} "
        f"{'head' if len(heads) == 1 else 'heads'} for {', '.join(modalities)}. "
        "All heads share one trunk.",
        f"Weights: `weights.safetensors`, sha256 `{checkpoint.digest}`; nothing is pickled.",
    ]
    if starts:
        lines.append(f"It started from {'; '.join(starts)}.")
    return "\n\n".join(lines)


def _heads_table(heads: Sequence[HeadSpec]) -> str:
    rows = []
    for head in heads:
        answers = ", ".join(head.labels[:_MOST_LABELS])
        if len(head.labels) > _MOST_LABELS:
            answers += f", … ({len(head.labels)})"
        answers = answers or ", ".join(f"{t.name} [{t.unit}]" for t in head.targets)
        marked = "Experimental: about as good as simple models. " if head.experimental else ""
        rows.append([f"`{head.route}`", head.family.value, marked + head.description, answers])
    return _table(["head", "family", "what it does", "answers"], rows)


def _figures(heads: Sequence[HeadSpec]) -> str:
    rows = [
        [
            f"`{head.route}`",
            f"{metric.dataset}, {metric.split}",
            f"{metric.samples:,}",
            metric.name,
            f"{metric.value:.4g}",
            ", ".join(f"{name} {value:.4g}" for name, value in metric.baselines.items()),
        ]
        for head in heads
        for metric in head.metrics
    ]
    unmeasured = [f"`{head.route}`" for head in heads if not head.metrics]
    parts = []
    if rows:
        header = ["head", "measured on", "samples", "metric", "value", "simple models"]
        parts.append(_table(header, rows))
    if unmeasured:
        parts.append(f"Not measured: {', '.join(unmeasured)}.")
    return "\n\n".join(parts)


def _data(heads: Sequence[HeadSpec], licence: str | None) -> str:
    used: dict[tuple[str, str, str], list[str]] = {}
    for head in heads:
        for source in head.data:
            key = (source.name, source.licence, source.source)
            used.setdefault(key, []).append(f"`{head.route}`")
    rows = [[name, words, source, ", ".join(of)] for (name, words, source), of in used.items()]
    stated = (
        f"The weights are under {licence}."
        if licence
        else "No licence of the weights is stated: those of the data decide what they may be used "
        "for."
    )
    untold = [f"`{head.route}`" for head in heads if not head.data]
    parts = [stated]
    if rows:
        parts.append(_table(["data", "licence", "source", "heads"], rows))
    if untold:
        parts.append(f"Of {', '.join(untold)} the training data are not stated.")
    return "\n\n".join(parts)


def _limits(heads: Sequence[HeadSpec]) -> str:
    rows = []
    for head in heads:
        rows.append([f"`{head.route}`", _accepts(head), _limits_in_words(head.limits)])
    return (
        "A head knows what it was trained on and nothing else: an input of another kind gets an "
        "answer all the same, with a score that need not be low. Larger inputs are refused:\n\n"
        + _table(["head", "takes", "at most"], rows)
    )


def _accepts(head: HeadSpec) -> str:
    """Return the formats that a head takes; its modality if its libraries are not installed."""
    try:
        kind = preprocessor_type(head.preprocess.name)
    except ArtifactError:
        return head.modality.value
    return ", ".join(dict.fromkeys(kind.media_types.values()))


def _limits_in_words(limits: Limits) -> str:
    values = limits.model_dump(exclude_none=True)
    return ", ".join(f"{value:,} {_UNITS.get(name, name)}" for name, value in values.items())


def _use(heads: Sequence[HeadSpec], name: str) -> str:
    route = heads[0].route if heads else "image/classification"
    return (
        "```bash\n"
        f"pip install 'omnivec2-serve[all,hub]'\n"
        f"omnivec2 pull hf://OWNER/{_slug(name)} checkpoints/{_slug(name)}\n"
        f"omnivec2 predict {route} FILE --checkpoint checkpoints/{_slug(name)} "
        f"--model-repo repositories/{_slug(name)}\n"
        "```\n\n"
        "`omnivec2 serve` takes the same two options."
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """Return a text as a cell of a table: labels and names are other people's."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def _slug(text: str) -> str:
    """Return a text as the hub writes names of data sets and metrics."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "unnamed"
