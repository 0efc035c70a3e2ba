"""The processes of a gateway that decode files, as its settings say."""

from __future__ import annotations

import sys

from omnivec2.spec import Modality
from service.decoding.decoder_pool import DecoderPool
from service.observability.gateway_metrics import Metrics
from service.settings import Settings


def make_decoders(settings: Settings, metrics: Metrics) -> DecoderPool | None:
    """Return the processes that decode; None where they are switched off or cannot be bounded."""
    if not settings.isolate_decoders or sys.platform != "linux":
        return None
    memory_bytes = settings.decoder_memory_mb * 2**20
    decoders = DecoderPool(settings.host_workers, memory_bytes, settings.decoder_seconds)
    metrics.watch(
        "decoders_lost",
        "Decoder processes that crashed or had to be ended.",
        lambda: decoders.lost,
    )
    return decoders


def expected_modalities(settings: Settings) -> list[Modality]:
    """Return the modalities that will be served, as far as it is known before models are loaded."""
    names = [name.partition("/")[0] for name in settings.only]
    if not names and settings.runtime == "embedded" and settings.model_repo.is_dir():
        names = [path.name.partition("_")[0] for path in settings.model_repo.iterdir()]
    return [modality for modality in Modality if modality.value in names or not names]
