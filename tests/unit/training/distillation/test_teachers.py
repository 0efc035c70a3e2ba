"""The pretrained networks that embeddings are fitted to."""

from __future__ import annotations

import numpy as np
import torch

from omnivec2.preprocess import collate, preprocessor_for
from omnivec2.spec import Modality
from omnivec2.training.batches import as_tensors
from omnivec2.training.data.base import preprocess_spec
from omnivec2.training.distillation.distil_head import vectors_of
from omnivec2.training.distillation.teachers import TEACHERS


def test_the_teacher_of_text_puts_sentences_of_one_meaning_together() -> None:
    reader = preprocessor_for(preprocess_spec(Modality.TEXT, max_tokens=64, pair=False))
    texts = (
        "A man plays the guitar on a stage.",
        "Somebody performs music on a guitar.",
        "The parliament voted for the new budget.",
    )
    samples = [reader.prepare(reader.decode_json(text)).samples[0] for text in texts]
    teacher = TEACHERS[Modality.TEXT]().eval()
    first, second, third = vectors_of(teacher, samples)
    assert first @ second > 0.5
    assert first @ third < 0.2
    alone = teacher(as_tensors(collate(samples[1:2]))).detach().numpy()[0]
    np.testing.assert_allclose(alone / np.linalg.norm(alone), second, atol=1e-5)


def test_the_teacher_of_pictures_knows_a_picture_in_another_crop_and_brightness() -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64] / 64
    disc = ((rows - 0.5) ** 2 + (columns - 0.5) ** 2 < 0.1)[..., None] * np.array([200, 40, 40])
    stripes = ((columns * 8).astype(int) % 2)[..., None] * np.array([40, 200, 90])
    noise = rng.integers(0, 30, (64, 64, 3))
    pictures = [disc + noise, np.roll(disc, 5, axis=1) * 0.8 + noise, stripes + noise]
    samples = [{"pixels": np.clip(p, 0, 255).astype(np.uint8)} for p in pictures]
    with torch.inference_mode():
        first, second, third = vectors_of(TEACHERS[Modality.IMAGE]().eval(), samples)
    assert first.shape == (1280,)
    assert first @ second > first @ third
