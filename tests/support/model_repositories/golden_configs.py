"""Configurations of each kind, kept as files to be reviewed like code.

This writes them anew, after a change that is meant::

    python -m tests.support.model_repositories.golden_configs
"""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

from export.repository.config_writer import ensemble_config, model_config, part_config
from export.repository.triton_options import CostTable, TritonOptions
from omnivec2.parts import FEATURES, MASK, TOKENS, TRUNK, PartSpec
from omnivec2.passport import ParityEntry, Passport
from omnivec2.spec import HeadSpec, Modality, PreprocessSpec, TaskFamily, TensorSpec

GOLDENS = Path(__file__).resolve().parents[2] / "unit/export/repository/goldens"

HEAD = HeadSpec(
    modality=Modality.TEXT,
    task="sentiment",
    family=TaskFamily.CLASSIFICATION,
    description="Two labels",
    inputs=(TensorSpec(name="input_ids", dtype="int32", shape=(-1,)),),
    outputs=(TensorSpec(name="logits", dtype="float32", shape=(2,)),),
    preprocess=PreprocessSpec(name=Modality.TEXT, version=1, parameters={"max_tokens": 64}),
    labels=("négatif", "positif"),
    max_batch_size=16,
    network="tiny",
)
_TOKENS = TensorSpec(name=TOKENS, dtype="float32", shape=(-1, 8))
_MASK = TensorSpec(name=MASK, dtype="bool", shape=(-1,))
_FEATURES = TensorSpec(name=FEATURES, dtype="float32", shape=(-1, 4))
PARTS = (
    PartSpec(name="tokenizer_text", kind="tokenizer", inputs=HEAD.inputs, outputs=(_TOKENS, _MASK)),
    PartSpec(name=TRUNK, kind="trunk", inputs=(_TOKENS, _MASK), outputs=(_FEATURES,)),
    PartSpec(
        name="head_text_sentiment", kind="head", inputs=(_FEATURES, _MASK), outputs=HEAD.outputs
    ),
)


def _passport(model: str, **fields: object) -> Passport:
    return Passport.model_validate(
        {
            "model": model,
            "exporter": "test",
            "opset": 20,
            "versions": {},
            "precision": "fp32",
            "checkpoint_digest": "0" * 64,
            "files": {},
            "tolerance": 1e-4,
            "parity": [ParityEntry(batch_size=1, worst_output="logits", max_relative_error=0.0)],
            "created": datetime.date(2026, 1, 2),
            **fields,
        }
    )


def texts() -> dict[str, str]:
    """The text of each file, as the exporter writes it now."""
    parts = {part.name: "1" * 64 for part in PARTS}
    trunk = _passport(TRUNK, content_digest="1" * 64)
    openvino = TritonOptions(backend="openvino")
    seconds = {"trunk": {1: 0.0132, 4: 0.0456, 16: 0.1782}}
    costs = CostTable(engine="onnxruntime", cores=8, seconds=seconds)
    return {
        "fused_head.pbtxt": model_config(HEAD, _passport(HEAD.name)),
        "ensemble.pbtxt": ensemble_config(HEAD, PARTS, _passport(HEAD.name, parts=parts)),
        "trunk.pbtxt": part_config(PARTS[1], trunk),
        "trunk_measured.pbtxt": part_config(PARTS[1], trunk, TritonOptions(costs=costs)),
        "trunk_openvino.pbtxt": part_config(PARTS[1], trunk, openvino),
        "fused_head_openvino.pbtxt": model_config(HEAD, _passport(HEAD.name), openvino),
        "ensemble_openvino.pbtxt": ensemble_config(
            HEAD, PARTS, _passport(HEAD.name, parts=parts), options=openvino
        ),
    }


def main() -> int:
    """Write the files."""
    GOLDENS.mkdir(exist_ok=True)
    for name, text in texts().items():
        (GOLDENS / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
