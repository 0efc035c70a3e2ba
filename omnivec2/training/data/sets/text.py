"""Text: blocks of sentiment (SST-2), paraphrases (MRPC) and entailment (SICK), and dialogues."""

from __future__ import annotations

from omnivec2.spec import Modality
from omnivec2.training.data.base import Loader
from omnivec2.training.data.sets.dialogues import load_dialogues
from omnivec2.training.data.shipped_blocks import block_loaders

TASKS: dict[str, Loader] = {
    **block_loaders(Modality.TEXT),
    "text/summarization": load_dialogues,
}
