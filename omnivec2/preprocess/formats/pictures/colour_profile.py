"""Embedded ICC profiles: colours of another space -> sRGB, which the network was trained on.

Most profiles in files are sRGB itself in one of its many editions. Whether one differs is
measured on a grid of colours, once per profile.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from omnivec2.preprocess.formats.guards.decoding_guard import CODEC_ERRORS
from omnivec2.preprocess.notes import NoteCode, note

MAX_PROFILE_BYTES = 4 * 2**20
"""Larger profiles are not used; those of printers with large tables have one to three MB."""

_SAME_LEVELS = 3
"""Profiles that change no colour of the grid by more levels than this count as sRGB."""

_GRID_LEVELS = 6
_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
_RENDERING = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION


def convert_to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert the colours of a picture to sRGB; transparency is kept.

    A profile that is unreadable, too large or of another colour space than the picture is not
    used, which is noted.

    Args:
        picture: A picture of mode L, RGB, RGBA or CMYK.
        profile: The ICC profile, or None.

    Returns:
        The picture itself if its colours are sRGB already, else one of mode RGB or RGBA.
    """
    if not profile:
        return picture
    if len(profile) > MAX_PROFILE_BYTES:
        _ignore("is too large")
        return picture
    transform = _transform(profile, "RGB" if picture.mode == "RGBA" else picture.mode)
    if isinstance(transform, str):
        _ignore(transform)
        return picture
    if transform is None:
        return picture
    base = transform.input_mode
    converted = transform.apply(picture if picture.mode == base else picture.convert(base))
    if picture.mode == "RGBA":
        converted.putalpha(picture.getchannel("A"))
    return converted


def lab_to_srgb(picture: Image.Image) -> Image.Image:
    """Convert a picture of mode LAB, as the printing trade stores them, to RGB."""
    return _lab_transform().apply(picture)


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return ImageCms.ImageCmsTransform(lab, _srgb(), "LAB", "RGB", _RENDERING)


def _ignore(reason: str) -> None:
    note(
        NoteCode.IGNORED,
        f"the colour profile of the picture {reason} and was not used; save it in sRGB",
        field="icc_profile",
    )


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | str | None:
    """Make the transform to sRGB; None if there is nothing to change, a reason if it fails."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if mode == "L" and space == "RGB":  # as some programs save grey pictures
            mode = "RGB"
        if space != _SPACES.get(mode):
            return f"is for {space} colours, which the picture does not have,"
        transform = ImageCms.ImageCmsTransform(
            source, _srgb(), mode, "RGB", _RENDERING, flags=_FLAGS
        )
        return transform if mode == "CMYK" or _changes(transform, mode) else None
    except (ImageCms.PyCMSError, *CODEC_ERRORS):
        return "is damaged"


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _changes(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    levels = np.linspace(0, 255, _GRID_LEVELS).astype(np.uint8)
    if mode == "L":
        grid = Image.fromarray(levels[None])
    else:
        colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
        grid = Image.fromarray(np.ascontiguousarray(colours.reshape(1, -1, 3)))
    before = np.asarray(grid.convert("RGB")).astype(int)
    after = np.asarray(transform.apply(grid)).astype(int)
    return bool(np.abs(after - before).max() > _SAME_LEVELS)
