"""Preprocessing: bytes or JSON -> arrays, one module per modality (numpy and codecs, no torch).

The registry names modules rather than classes, so that serving one modality does not
import the codecs of the other twelve.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from omnivec2.errors import ArtifactError
from omnivec2.preprocess.base import Array, DynamicAxis, Prepared, Preprocessor, Sample, collate
from omnivec2.preprocess.formats.modality_libraries import missing_libraries
from omnivec2.spec import HeadSpec, Limits, Modality, PreprocessSpec

__all__ = [
    "Array",
    "DynamicAxis",
    "Prepared",
    "Preprocessor",
    "Sample",
    "collate",
    "preprocessor_for",
    "preprocessor_type",
]


def preprocessor_type(modality: Modality) -> type[Preprocessor[Any, Any]]:
    """Import the preprocessor class of a modality: ``PREPROCESSOR`` of the module of its name.

    Raises:
        ArtifactError: Libraries of the modality are not installed.
    """
    if missing := missing_libraries(modality):
        raise ArtifactError(
            f"{modality.value} needs {', '.join(missing)}: "
            f"pip install 'omnivec2-serve[{modality.value}]'"
        )
    module = import_module(f"{__name__}.{modality.value}")
    kind: type[Preprocessor[Any, Any]] = module.PREPROCESSOR
    return kind


def preprocessor_for(
    spec: PreprocessSpec | HeadSpec, limits: Limits | None = None
) -> Preprocessor[Any, Any]:
    """Build the preprocessor that a spec names.

    Raises:
        ArtifactError: The spec was written for another version of the preprocessor, or libraries
            of its modality are not installed.
    """
    if isinstance(spec, HeadSpec):
        limits, spec = spec.limits, spec.preprocess
    kind = preprocessor_type(spec.name)
    if kind.version != spec.version:
        raise ArtifactError(
            f"{spec.name.value}: the model needs preprocessing version {spec.version}, "
            f"this release has version {kind.version}; export the model again"
        )
    return kind(kind.parameters_type.model_validate(spec.parameters), limits)
