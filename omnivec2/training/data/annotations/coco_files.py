"""The annotation files of a COCO data set, and the folders of their pictures.

Roboflow writes a file into the folder of each part, CVAT, FiftyOne and COCO itself write all into
``annotations/``, with the part in the name, and Label Studio writes one beside ``images/``.
"""

from __future__ import annotations

import re
from pathlib import Path

from omnivec2.errors import ArtifactError
from omnivec2.training.data.blocks.part_names import part_of_words

_FOLDERS = frozenset({"annotations", "annotation", "labels", "json"})
"""The names of folders of annotation files, whose pictures lie beside the folder."""

_INSTANCES = re.compile(r"(?i)^(?:instances?|annotations?|labels?)[_-]")
"""The begin of the names of annotation files, which the name of a subset follows."""

_OTHER_TASKS = re.compile(
    r"(?i)^(?:captions|person_keypoints|keypoints|stuff|panoptic|image_info)_"
)
"""Files of COCO's other tasks, which lie beside those of instances."""


def find_coco_files(folder: Path) -> list[tuple[str | None, Path]]:
    """Return (part, annotation file) of a data set; None where nothing names the part.

    Args:
        folder: The folder of the data set.

    Raises:
        ArtifactError: There is no JSON file of instances, or several files are of no known part.
    """
    places = [folder, *sorted(place for place in folder.iterdir() if place.is_dir())]
    files = [
        file
        for place in places
        for file in sorted(place.glob("*.json"))
        if not file.name.startswith(".") and not _OTHER_TASKS.match(file.name)
    ]
    if not files:
        raise ArtifactError(
            "the folder has no JSON file of annotations, and none of its folders has; give its path"
        )
    parts = [
        part_of_words(file.stem) or part_of_words(file.parent.name if file.parent != folder else "")
        for file in files
    ]
    if len(files) > 1 and None in parts:
        names = ", ".join(str(file.relative_to(folder)) for file in files[:8])
        raise ArtifactError(
            f"the folder has several JSON files, and their names do not tell the parts: {names}; "
            "give them as path: {train: …, val: …, test: …}"
        )
    return list(zip(parts, files, strict=True))


def picture_folders(file: Path) -> list[Path]:
    """Return where the pictures of an annotation file are looked for if nothing is said.

    ``images/train`` is before ``images`` for ``annotations/instances_train.json``: pictures of
    other parts may have the same names.

    Args:
        file: The annotation file.
    """
    subset = _INSTANCES.sub("", file.stem)
    roots = [file.parent]
    if file.parent.name.lower() in _FOLDERS:
        roots.append(file.parent.parent)
    own = [place for root in roots for place in (root / "images" / subset, root / subset)]
    return [place for place in own if place.is_dir()] + [
        place for root in roots for place in (root / "images", root)
    ]
