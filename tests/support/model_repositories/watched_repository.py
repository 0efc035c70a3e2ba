"""A repository of tiny heads that know what their training data look like to the trunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.familiarity.fit_reference import fit_reference
from omnivec2.parts import TRUNK
from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import HeadSpec
from omnivec2.training.familiarity.part_sessions import PartSessions
from tests.support.model_repositories.tiny_graphs import head_part, tokenizer_part, trunk_part
from tests.support.model_repositories.tiny_models import read_part, write_ensemble, write_part


def write_watched_repository(
    root: Path, heads: Sequence[HeadSpec], inputs: Mapping[str, Sequence[Any]]
) -> Path:
    """Write a repository in the shared layout whose heads have training references.

    Args:
        root: The directory of the repository.
        heads: The heads that it serves.
        inputs: A mapping of routes to the JSON inputs that a head is taken to be trained on.
    """
    write_part(root, *trunk_part(f_mean=True))
    for head in heads:
        parts = [
            write_part(root, *tokenizer_part(f"tokenizer_{head.name}", head)),
            read_part(root, TRUNK),
            write_part(root, *head_part(head)),
        ]
        write_ensemble(root, head, parts)
        if head.route not in inputs:
            continue
        preprocessor = preprocessor_for(head)
        samples = [
            preprocessor.prepare(preprocessor.decode_json(value)).samples[0]
            for value in inputs[head.route]
        ]
        sessions = PartSessions(root)
        wanted = ("f_mean", "logits")
        found = [sessions.run(head, samples, [row], wanted) for row in range(len(samples))]
        summary = {"f_mean": np.concatenate([one["f_mean"] for one in found])}
        scores = None
        if head.labels:
            logits = np.concatenate([one["logits"] for one in found]).astype(np.float64)
            scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        reference = fit_reference(summary, summary, scores=scores, parts=sessions.digests(head))
        write_ensemble(root, head, parts, reference)
    return root
