"""Boxes and outlines of objects, as labelling tools write them: ``coco``, ``yolo`` and ``voc``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from omnivec2.errors import ArtifactError
from omnivec2.spec import Modality
from omnivec2.training.data.annotations.annotated_boxes import AnnotatedPicture
from omnivec2.training.data.annotations.coco import read_coco
from omnivec2.training.data.annotations.coco_files import find_coco_files
from omnivec2.training.data.annotations.voc import read_voc_folder, read_voc_picture, voc_names
from omnivec2.training.data.annotations.yolo import (
    label_file,
    labels_without_picture,
    read_yolo_folder,
    read_yolo_picture,
)
from omnivec2.training.data.blocks.examples import Example, Origin, Problem, ProblemKind
from omnivec2.training.data.blocks.files import BlockFiles, listed
from omnivec2.training.data.blocks.kinds.base import Block, Names
from omnivec2.training.data.blocks.part_names import part_folders
from omnivec2.training.data.blocks.targets import AnyTarget
from omnivec2.training.data.blocks.targets.box_targets import BoxesTarget
from omnivec2.training.data.blocks.targets.picture_sizes import SCENE_PARAMETERS
from omnivec2.training.yaml_lines import did_you_mean


class AnnotatedPictures(Block):
    """What the kinds of annotated pictures share."""

    target: AnyTarget = Field(
        default=BoxesTarget(), description="boxes, or mask where objects have outlines"
    )
    labels: Names = Field(
        default=(),
        description="the classes to learn, in the order of outputs; all of the files unless given",
    )

    def parameters(self, modality: Modality) -> Mapping[str, JsonValue]:
        """Return the size of scenes, in which nothing is cut off."""
        return SCENE_PARAMETERS if modality is Modality.IMAGE else {}

    def read(self, files: BlockFiles) -> Iterator[Example | Problem]:
        """Yield the pictures of all annotations, and their bad entries."""
        for part, path in self.paths(files):
            problems = _Problems(files)
            try:
                for own, picture in self.annotated(path, files, problems):
                    yield from problems.take()
                    if self.labels:
                        self._require_labels(picture)
                        picture = picture.only(self.labels)  # noqa: PLW2901
                    origin = Origin(problems.shortened(picture.place))
                    columns = self.columns_of_name(files.name(picture.picture))
                    yield Example(picture.picture, picture, origin, part or own, columns)
            except ArtifactError as error:
                reason = str(error).removeprefix(f"{path}: ")
                yield Problem(
                    ProblemKind.UNREADABLE_FILE,
                    Origin(files.name(path)),
                    problems.shortened(reason),
                )
            yield from problems.take()

    def _require_labels(self, picture: AnnotatedPicture) -> None:
        known = list(picture.classes)
        if unknown := [name for name in self.labels if name not in known]:
            raise ArtifactError(
                f"labels: there is no class {unknown[0]!r}; there are {listed(known)}"
                f"{did_you_mean(unknown[0], known)}"
            )

    @abstractmethod
    def annotated(
        self, path: Path, files: BlockFiles, problems: _Problems
    ) -> Iterator[tuple[str | None, AnnotatedPicture]]:
        """Yield (part, picture) of one file or folder.

        Args:
            path: The file or folder.
            files: The directory of data.
            problems: The callback for bad entries.
        """


class _Problems:
    """A collector of bad entries, whose places are named below the directory of data."""

    def __init__(self, files: BlockFiles) -> None:
        self.root = f"{files.root}/"
        self.found: list[Problem] = []

    def __call__(self, place: str, message: str) -> None:
        kind = ProblemKind.MISSING_FILE if "no such picture" in message else ProblemKind.BAD_TARGET
        self.found.append(Problem(kind, Origin(self.shortened(place)), self.shortened(message)))

    def warn(self, place: str, message: str) -> None:
        """Note something that does not stop a training."""
        origin = Origin(self.shortened(place))
        self.found.append(
            Problem(ProblemKind.LEFT_OUT, origin, self.shortened(message), is_warning=True)
        )

    def shortened(self, text: str) -> str:
        """Return a text without the directory of data."""
        return text.replace(self.root, "")

    def take(self) -> list[Problem]:
        """Return what was found since the last call."""
        found, self.found = self.found, []
        return found


class CocoBlock(AnnotatedPictures):
    """COCO files of instances: boxes, and outlines for ``target: mask``.

    ::

        <path>                               an annotation file, or a folder with a file per part:
        <path>/train/_annotations.coco.json  as Roboflow writes them
        <path>/annotations/instances_train2017.json
    """

    kind: Literal["coco"] = "coco"
    crowds: bool = Field(
        default=False,
        description="whether annotations with iscrowd count: CVAT sets it on every painted mask",
    )
    images: Names = Field(
        default=(), description="folders of the pictures below --data; beside the file unless given"
    )

    def annotated(
        self, path: Path, files: BlockFiles, problems: _Problems
    ) -> Iterator[tuple[str | None, AnnotatedPicture]]:
        """Yield the pictures of the file, those without objects among them."""
        folders = [place for name in self.images for place in files.find(name)]
        for part, file in find_coco_files(path) if path.is_dir() else [(None, path)]:
            found = read_coco(file, folders, crowds=self.crowds, report=problems)
            if found.crowds:
                problems.warn(
                    str(file),
                    f"{found.crowds:,} annotations are marked as crowds (iscrowd): none is to be "
                    "found; if they are single objects, as in files of CVAT, set `crowds: true`",
                )
            if found.empty_boxes:
                problems.warn(
                    str(file), f"{found.empty_boxes:,} boxes without an area are left out"
                )
            for name in found.same_names:
                problems.warn(str(file), f"several categories are named {name!r}, and are one")
            for picture in found.pictures:
                yield part, picture


class YoloBlock(AnnotatedPictures):
    """A folder in YOLO's form, or its ``data.yaml``."""

    kind: Literal["yolo"] = "yolo"

    def annotated(
        self, path: Path, files: BlockFiles, problems: _Problems
    ) -> Iterator[tuple[str | None, AnnotatedPicture]]:
        """Yield the pictures of all parts; one without a file of labels shows no object."""
        del files
        folder = read_yolo_folder(path, self.labels)
        everything = [picture for some in folder.pictures.values() for picture in some]
        unlabelled = [one for one in everything if not label_file(one).is_file()]
        if len(unlabelled) == len(everything):
            raise ArtifactError(
                f"none of {len(everything):,} pictures has a file of labels; expected, for "
                f"example, {label_file(everything[0])} for {everything[0]}"
            )
        if unlabelled:
            problems.warn(
                str(path),
                f"{len(unlabelled):,} of {len(everything):,} pictures have no file of labels and "
                f"count as pictures without objects, such as {unlabelled[0]}",
            )
        if stray := labels_without_picture(everything):
            problems.warn(
                str(path),
                f"{len(stray):,} files of labels have no picture that is read and are left out, "
                f"such as {stray[0]}",
            )
        for part, pictures in folder.pictures.items():
            for picture in pictures:
                found = read_yolo_picture(
                    picture, folder.labels, keypoints=folder.keypoints, report=problems
                )
                yield None if part == "all" else part, found


class VocBlock(AnnotatedPictures):
    """A folder in Pascal VOC's form: an XML file per picture."""

    kind: Literal["voc"] = "voc"
    difficult: bool = Field(
        default=False, description="whether objects that are marked as difficult count"
    )

    def annotated(
        self, path: Path, files: BlockFiles, problems: _Problems
    ) -> Iterator[tuple[str | None, AnnotatedPicture]]:
        """Yield the pictures that have an annotation."""
        del files
        if not path.is_dir():
            raise ArtifactError("expected a folder with Annotations/ and JPEGImages/")
        # Roboflow writes a folder of XML files and pictures for each part.
        folders = [
            (stated, read_voc_folder(place))
            for stated, place in part_folders(path).items() or ((None, path),)
        ]
        everything = [
            file for _, one in folders for some in one.annotations.values() for file in some
        ]
        # What is damaged is reported when its boxes are read.
        labels = voc_names(everything, report=lambda place, message: None)
        left_out = 0
        for stated, folder in folders:
            for part, own in folder.annotations.items():
                for file in own:
                    picture = read_voc_picture(
                        file, labels, folder.pictures, difficult=self.difficult, report=problems
                    )
                    if picture is not None:
                        left_out += picture.left_out
                        yield stated or (None if part == "all" else part), picture
        if left_out:
            problems.warn(
                str(path),
                f"{left_out:,} objects are marked as difficult and are left out; "
                "`difficult: true` counts them",
            )
