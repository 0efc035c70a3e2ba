"""Random variation of training samples, on prepared arrays.

Every function takes and returns ``(sample, target)`` and copies what it changes. What an
input means must survive: X-rays are not mirrored (the heart has a side), neither are
actions that differ by the hand that does them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from omnivec2.preprocess import Array, Sample
from omnivec2.preprocess.audio import AUDIOSET_MEAN

Varied = tuple[Sample, Any]
Box = tuple[float, float, float, float]

_PAD_PIXELS = 12


def picture(sample: Sample, target: Any, rng: np.random.Generator) -> Varied:
    """Shift by up to 12 pixels, mirror, change light a little."""
    pixels = _shift(sample["pixels"], rng, _PAD_PIXELS)
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    return {"pixels": _light(pixels, rng)}, target


def boxed_picture(sample: Sample, target: Any, rng: np.random.Generator) -> Varied:
    """Cut out a part, mirror both ways, change light; boxes follow, those cut off go."""
    pixels, boxes, labels = sample["pixels"], target["boxes"], target["labels"]
    if rng.random() < 0.7:
        window = _window(rng, smallest=0.6)
        boxes, kept = _boxes_in(boxes, window)
        pixels, labels = _crop(pixels, window, Image.Resampling.BILINEAR), labels[kept]
    boxes = boxes.copy()
    for axis in (0, 1):  # boxes hold x first, arrays y
        if rng.random() < 0.5:
            pixels = np.flip(pixels, 1 - axis)
            boxes[:, axis] = 1 - boxes[:, axis]
    return {"pixels": _light(pixels, rng)}, {"boxes": boxes, "labels": labels}


def masked_picture(sample: Sample, target: Any, rng: np.random.Generator) -> Varied:
    """Cut out a part, mirror, change light; the mask follows."""
    pixels, mask = sample["pixels"], target
    if rng.random() < 0.7:
        window = _window(rng, smallest=0.5)
        pixels = _crop(pixels, window, Image.Resampling.BILINEAR)
        mask = _crop(mask, window, Image.Resampling.NEAREST)
    if rng.random() < 0.5:
        pixels, mask = pixels[:, ::-1], mask[:, ::-1]
    return {"pixels": _light(pixels, rng)}, np.ascontiguousarray(mask)


def video(sample: Sample, target: Any, rng: np.random.Generator) -> Varied:
    """Cut out a part, mirror, change the colours of all frames equally; shift frames by a step.

    Colours depend more on the camera than on the action, so they are swapped,
    inverted or dropped; a clip is sometimes played backwards.
    """
    frames = sample["frames"]
    count = len(frames)
    order = np.clip(np.arange(count) + rng.integers(-1, 2, count), 0, count - 1)
    frames = frames[np.sort(order)]
    if rng.random() < 0.7:
        window = _window(rng, smallest=0.75)
        frames = np.stack([_crop(frame, window, Image.Resampling.BILINEAR) for frame in frames])
    if rng.random() < 0.5:
        frames = frames[:, :, ::-1]
    if rng.random() < 0.5:
        frames = np.broadcast_to(frames.mean(axis=3, keepdims=True).astype(np.uint8), frames.shape)
    elif rng.random() < 0.5:
        frames = frames[..., rng.permutation(3)]
    if rng.random() < 0.3:
        frames = 255 - frames
    if rng.random() < 0.3:
        frames = frames[::-1]
    return {"frames": _light(frames, rng)}, target


def audio(sample: Sample, target: Any, rng: np.random.Generator) -> Varied:
    """Roll in time, change loudness, hide bands of time and frequency (SpecAugment)."""
    fbank = np.roll(sample["fbank"], rng.integers(len(sample["fbank"])), axis=0)
    fbank += np.float32(rng.normal(0, 0.7))
    frames, bins = fbank.shape
    for length, widest, axis in ((frames, frames // 6, 0), (bins, bins // 6, 1)) * 2:
        width = int(rng.integers(widest))
        start = int(rng.integers(length - width))
        hidden = slice(start, start + width)
        fbank[hidden if axis == 0 else (slice(None), hidden)] = AUDIOSET_MEAN
    return {"fbank": fbank}, target


def depth(sample: Sample, target: Any, rng: np.random.Generator) -> Varied:
    """Move and scale the picture, move away or closer, begin later or end sooner."""
    frames = sample["depth"]
    count, height, width = frames.shape
    first, last = rng.uniform(0, 0.15) * count, (1 - rng.uniform(0, 0.15)) * count - 1
    frames = frames[np.linspace(first, last, count).round().astype(np.int64)]
    scale = rng.uniform(0.9, 1.1)
    rows, rows_in = _resampled(height, scale, rng.uniform(-4, 4))
    columns, columns_in = _resampled(width, scale, rng.uniform(-8, 8))
    frames = frames[:, rows][:, :, columns]
    seen = (frames > 0) & rows_in[:, None] & columns_in
    moved = frames.astype(np.int32) + int(rng.uniform(-150, 150))
    highest = np.iinfo(np.uint16).max
    return {"depth": np.where(seen, moved.clip(1, highest), 0).astype(np.uint16)}, target


def pointcloud(sample: Sample, target: Any, rng: np.random.Generator) -> Varied:
    """Turn around the upright axis (mostly a little, sometimes freely), scale, add noise."""
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < 0.2 else rng.normal(0, 0.1)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) * rng.uniform(0.85, 1.1, 3)
    noise = rng.normal(0, 0.01, sample["groups"].shape)
    groups = sample["groups"] @ turn + noise
    centres = sample["centres"] @ turn
    return {
        "groups": groups.astype(np.float32),
        "centres": centres.astype(np.float32),
    }, target


def xray(sample: Sample, target: Any, rng: np.random.Generator) -> Varied:
    """Shift by up to 6 pixels, turn by a few degrees, change light."""
    pixels = _shift(sample["pixels"], rng, 6)
    turned = Image.fromarray(pixels[..., 0]).rotate(
        rng.uniform(-8, 8), resample=Image.Resampling.BILINEAR
    )
    return {"pixels": _light(np.asarray(turned)[..., None], rng)}, target


def infrared(sample: Sample, target: Any, rng: np.random.Generator) -> Varied:
    """Mirror, turn by quarters, shift and change light: seen from above there is no upright."""
    pixels = _shift(_turned(sample["pixels"], rng), rng, 4)
    return {"pixels": _light(pixels, rng)}, target


def imu(sample: Sample, target: Any, rng: np.random.Generator) -> Varied:
    """Turn the sensor by a few degrees, scale, add noise of 2 % of each channel's spread."""
    signal = sample["signal"]
    steps, channels = signal.shape
    x, y, z = rng.normal(0, 0.08, 3)
    # A small rotation, to first order; triads of channels are axes of one sensor.
    turn = np.array([[1, -z, y], [z, 1, -x], [-y, x, 1]])
    turned = (signal.reshape(steps, channels // 3, 3) @ turn).reshape(steps, channels)
    noise = rng.normal(0, 0.02, signal.shape) * signal.std(axis=0)
    return {"signal": (turned * rng.normal(1, 0.05) + noise).astype(np.float32)}, target


def hyperspectral(sample: Sample, target: Any, rng: np.random.Generator) -> Varied:
    """Mirror, turn by quarters, change light; drop or invent neighbours, never the middle.

    The training scene lacks its unlabelled pixels and other scenes do not: absent neighbours
    sometimes get the spectrum of another one.
    """
    window = _turned(sample["window"], rng).copy()
    side, _, bands = window.shape
    absent = ~window.any(axis=2)
    choice = rng.random()
    if choice < 0.3 and absent.any():
        present = window[~absent]
        window[absent] = present[rng.integers(len(present), size=int(absent.sum()))]
    elif choice < 0.6:
        dropped = rng.random((side, side)) < rng.random()
        dropped[side // 2, side // 2] = False
        window[dropped] = 0
    gain = rng.normal(1, 0.02) * rng.normal(1, 0.005, bands)
    return {"window": (window * gain).astype(np.float32)}, target


def _shift(pixels: Array, rng: np.random.Generator, most: int) -> Array:
    """Move a picture [h, w, c]; its border is mirrored into the gap."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((most, most), (most, most), (0, 0)), mode="reflect")
    top, left = rng.integers(2 * most + 1, size=2)
    return np.asarray(padded[top : top + height, left : left + width])


def _turned(pixels: Array, rng: np.random.Generator) -> Array:
    """Return a square picture in one of its eight orientations."""
    turned = np.rot90(pixels, int(rng.integers(4)))
    return np.asarray(turned[::-1] if rng.random() < 0.5 else turned)


def _light(pixels: Array, rng: np.random.Generator) -> Array:
    """Change brightness and contrast of uint8 pixels by up to a fifth, by table."""
    contrast, brightness = rng.uniform(0.8, 1.2), rng.uniform(-25, 25)
    levels = (np.arange(256) - 128) * contrast + 128 + brightness
    return np.asarray(levels.clip(0, 255).astype(np.uint8)[pixels])


def _window(rng: np.random.Generator, smallest: float) -> Box:
    """Draw a random part of a picture with the same aspect: x0, y0, x1, y1 in 0..1."""
    side = rng.uniform(smallest, 1)
    x, y = rng.uniform(0, 1 - side, 2)
    return x, y, x + side, y + side


def _crop(pixels: Array, window: Box, resample: Image.Resampling) -> Array:
    """Return a part of a picture, resized to the size of the whole."""
    height, width = pixels.shape[:2]
    box = (window[0] * width, window[1] * height, window[2] * width, window[3] * height)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((width, height), resample, box=box))


def _boxes_in(boxes: Array, window: Box) -> tuple[Array, Array]:
    """Return boxes (cx, cy, w, h) relative to a window, and which have their centre in it."""
    low, high = np.array(window[:2]), np.array(window[2:])
    kept = np.all((boxes[:, :2] > low) & (boxes[:, :2] < high), axis=1)
    centre, half = boxes[kept, :2], boxes[kept, 2:] / 2
    first = ((np.maximum(centre - half, low) - low) / (high - low)).astype(np.float32)
    last = ((np.minimum(centre + half, high) - low) / (high - low)).astype(np.float32)
    return np.concatenate([(first + last) / 2, last - first], axis=1), kept


def _resampled(length: int, scale: float, shift: float) -> tuple[Array, Array]:
    """Return source positions of a scaled and shifted axis, and which of them exist."""
    middle = (length - 1) / 2
    source = ((np.arange(length) - middle - shift) / scale + middle).round().astype(np.int64)
    return source.clip(0, length - 1), (source >= 0) & (source < length)
