"""The registry of modalities in training, and what a modality must have beside its object."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from omnivec2.spec import Modality
from omnivec2.training.data import routes
from omnivec2.training.modalities import modality_training
from omnivec2.training.modalities.base import ModalityTraining
from tests.support.documents import ROOT


@pytest.mark.parametrize("modality", Modality)
def test_a_modality_has_an_object_of_its_own_and_data(modality: Modality) -> None:
    training = modality_training(modality)
    assert training.modality is modality
    assert modality_training(modality) is training
    assert routes(modality) == list(training.data_sets) != []
    assert all(route.startswith(f"{modality.value}/") for route in training.data_sets)


@pytest.mark.parametrize("modality", Modality)
def test_a_modality_has_a_sample_with_its_source(modality: Modality) -> None:
    folder: Path = ROOT / "tests" / "data" / modality.value
    files = {path.name for path in folder.iterdir()}
    assert "README.md" in files
    assert len(files) > 1


def test_an_object_without_a_part_cannot_be_made() -> None:
    fields = {f.name: getattr(modality_training(Modality.IMU), f.name)
              for f in dataclasses.fields(ModalityTraining)}  # fmt: skip
    with pytest.raises(TypeError, match="abstract"):
        ModalityTraining(**fields)  # type: ignore[abstract]
    del fields["restoration"]
    with pytest.raises(TypeError, match="restoration"):
        type(modality_training(Modality.IMU))(**fields)
