"""BERTScore: how alike the words of a text and of its references are in a language model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from omnivec2.errors import ArtifactError

MODEL_VARIABLE = "OMNIVEC2_BERTSCORE_MODEL"
"""The environment variable that names the directory of the language model."""
_LAYERS_VARIABLE = "OMNIVEC2_BERTSCORE_LAYERS"


def bertscore(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Compute the mean F1 of BERTScore (Zhang et al., 2020), best reference of each text.

    The language model is not part of this project: its directory, as Hugging Face saves it, is
    named by ``OMNIVEC2_BERTSCORE_MODEL``, and nothing is downloaded. ``OMNIVEC2_BERTSCORE_LAYERS``
    is the layer whose vectors are compared, the model's last by default; tables of the literature
    take layer 17 of roberta-large.

    Raises:
        ArtifactError: The library or the model is not at hand.
    """
    folder = Path(os.environ.get(MODEL_VARIABLE, ""))
    if not os.environ.get(MODEL_VARIABLE) or not (folder / "config.json").is_file():
        raise ArtifactError(
            "bertscore needs a language model: name the directory of one, such as roberta-large "
            f"from huggingface.co, in {MODEL_VARIABLE}; it holds no config.json now"
        )
    try:
        from bert_score import score
        from transformers import AutoConfig
    except ImportError as error:
        raise ArtifactError(f"bertscore needs `pip install bert-score`: {error}") from error
    layers = os.environ.get(_LAYERS_VARIABLE)
    if layers is None:
        layers = AutoConfig.from_pretrained(folder, local_files_only=True).num_hidden_layers
    _, _, f1 = score(
        list(texts), [list(r) for r in references], model_type=str(folder), num_layers=int(layers)
    )
    return float(f1.mean())
