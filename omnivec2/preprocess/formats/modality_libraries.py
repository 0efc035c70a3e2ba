"""The libraries that each modality needs besides those of every service.

They are installed by an extra of the modality's name (``pip install 'omnivec2-serve[image]'``);
``all`` installs those of all modalities. Readers of rare formats import theirs on first use, so
whether all are there is looked up before a modality is served, not found out by a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from omnivec2.spec import Modality

LIBRARIES: Mapping[Modality, tuple[str, ...]] = {
    Modality.IMAGE: ("PIL", "av", "imagecodecs", "tifffile"),
    Modality.VIDEO: ("av", "PIL"),
    Modality.AUDIO: ("av", "soundfile", "soxr"),
    Modality.TEXT: ("tokenizers",),
    Modality.DEPTH: ("PIL", "imagecodecs", "tifffile"),
    Modality.POINTCLOUD: ("fpsample", "laspy", "lazrs", "pypcd4"),
    Modality.TIMESERIES: ("pyarrow", "python_calamine"),
    Modality.TABULAR: ("pyarrow", "python_calamine"),
    Modality.GRAPH: ("rdkit",),
    Modality.XRAY: ("PIL", "imagecodecs", "openjpeg", "pydicom", "pylibjpeg"),
    Modality.INFRARED: ("PIL", "imagecodecs", "tifffile"),
    Modality.IMU: ("pyarrow", "python_calamine"),
    Modality.HYPERSPECTRAL: ("PIL", "imagecodecs", "tifffile"),
}
"""Modality -> the modules that it imports of its extra."""


def missing_libraries(modality: Modality) -> list[str]:
    """Return the modules of a modality that are not installed; nothing is imported."""
    return [name for name in LIBRARIES.get(modality, ()) if find_spec(name) is None]
