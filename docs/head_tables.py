"""Tables of the heads of the reference checkpoint, made from their head specs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from docs.measured import number, table
from omnivec2.spec import HeadSpec, Metric, Modality

HEADS = Path(__file__).resolve().parents[1] / "checkpoints" / "reference" / "models"


def reference_specs() -> list[HeadSpec]:
    """Read the head specs of the reference checkpoint, in the order of modalities."""
    specs = [HeadSpec.model_validate_json(p.read_text()) for p in HEADS.glob("*/head.json")]
    order = list(Modality)
    return sorted(specs, key=lambda spec: (order.index(spec.modality), spec.task))


def heads() -> str:
    """Return a table with one row per head: its data and its primary metric.

    The primary metric is the first of the head spec; the model card has the others.
    """
    specs = reference_specs()
    rows = [_head_row(spec) for spec in specs if not spec.is_embedding]
    header = ["head", "what it does", "data", "metric", "value", "simple models", "beats them"]
    return table(header, rows) + _embeddings_note(specs)


def data() -> str:
    """Return a table of each head's training data, their licences and its warm starts."""
    rows = [
        [
            f"`{spec.route}`",
            "; ".join(f"{source.name} ({source.source})" for source in spec.data),
            "; ".join(dict.fromkeys(source.licence for source in spec.data)),
            "; ".join(spec.warm_starts),
        ]
        for spec in reference_specs()
    ]
    return table(["head", "data", "licence as stated", "warm starts"], rows)


def _head_row(spec: HeadSpec) -> list[str]:
    """Return the cells of a head: a head that beats no simple model is marked so."""
    primary = spec.metrics[0]
    trained = " and ".join(source.name for source in spec.data)
    tested = f"{primary.dataset}, {primary.samples:,} samples"
    return [
        f"`{spec.route}`" + (" (experimental)" if spec.experimental else ""),
        spec.description,
        f"trained on {trained}; tested on {tested}",
        _metric_name(primary),
        number(primary.value),
        _baselines(primary),
        "yes" if _beats_simple_models(primary) else "**no**",
    ]


def _embeddings_note(specs: Sequence[HeadSpec]) -> str:
    """Name the embeddings, which have no rows of their own, and those that are no better."""
    embeddings = [spec for spec in specs if spec.is_embedding]
    if not embeddings:
        return ""
    note = f"\n\nBesides, `<modality>/embedding` for {len(embeddings)} modalities"
    beaten = [
        f"`{spec.route}`"
        for spec in embeddings
        if spec.metrics and not _beats_simple_models(spec.metrics[0])
    ]
    worse = " and ".join(beaten)
    return f"{note}; {worse} do not beat the raw arrays." if beaten else f"{note}."


def _metric_name(metric: Metric) -> str:
    return metric.name + ("" if metric.higher_is_better else " (lower is better)")


def _baselines(metric: Metric) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in metric.baselines.items())


def _beats_simple_models(metric: Metric) -> bool:
    return metric.gain is not None and metric.gain > 0
