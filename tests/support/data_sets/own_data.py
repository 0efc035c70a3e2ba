"""Data as a stranger has it, made at test time: annotated pictures, masks, points, series, texts.

Every function writes its files into a folder and returns what its task must learn from them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

WIDTH, HEIGHT = 120, 80
_COLOURS = {"apple": (240, 60, 40), "plum": (80, 160, 255)}
_NAMES = tuple(_COLOURS)
_SIDE = 26


def _fruit(rng: np.random.Generator, kinds: list[str]) -> tuple[Image.Image, list[list[int]]]:
    """A dark picture with a square of each kind's colour, and the corners of the squares."""
    pixels = rng.integers(0, 30, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    corners = []
    for place, kind in enumerate(kinds):
        x = int(rng.integers(2, WIDTH // 2 - _SIDE - 2)) + place * WIDTH // 2
        y = int(rng.integers(2, HEIGHT - _SIDE - 2))
        pixels[y : y + _SIDE, x : x + _SIDE] = _COLOURS[kind]
        if kind == "plum":  # hollow: a short training tells shapes apart sooner than colours
            pixels[y + 8 : y + _SIDE - 8, x + 8 : x + _SIDE - 8] = 0
        corners.append([x, y, x + _SIDE, y + _SIDE])
    return Image.fromarray(pixels), corners


def fruit(seed: int, kinds: list[str]) -> tuple[Image.Image, list[list[int]]]:
    """A picture to ask about, and where its squares are."""
    return _fruit(np.random.default_rng(seed), kinds)


def coco(folder: Path, count: int = 48) -> None:
    """Ids with gaps, a crowd, a picture without objects, folders, capital suffixes, a grey one."""
    rng = np.random.default_rng(1)
    images, annotations = [], []
    for number in range(count):
        kinds = [_NAMES[number % 2]] if number % 12 else []
        picture, corners = _fruit(rng, kinds)
        name = f"batch{number % 2}/{number:03}.{'PNG' if number % 3 else 'jpg'}"
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        picture.convert("RGBA" if number % 3 == 1 else "RGB").save(folder / "images" / name)
        images.append(
            {"id": 1000 + 7 * number, "file_name": name, "width": WIDTH, "height": HEIGHT}
        )
        for kind, (x0, y0, x1, y1) in zip(kinds, corners, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": 1000 + 7 * number,
                    "category_id": {"apple": 3, "plum": 9}[kind],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "iscrowd": 0,
                }
            )
    annotations.append({**annotations[0], "id": 999, "bbox": [0, 0, 50, 50], "iscrowd": 1})
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances.json").write_text(
        json.dumps(
            {
                "info": {"year": 2026},
                "images": images,
                "annotations": annotations,
                "categories": [{"id": 9, "name": "plum"}, {"id": 3, "name": "apple"}],
            }
        )
    )


def yolo(folder: Path, count: int = 48) -> None:
    """``data.yaml`` with numbered names, parts as folders, pictures without labels."""
    rng = np.random.default_rng(2)
    for number in range(count):
        part = "val" if number % 6 == 5 else "train"
        kinds = [_NAMES[number % 2]] if number % 12 else []
        picture, corners = _fruit(rng, kinds)
        place = folder / "images" / part / f"{number:03}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture.save(place)
        rows = [
            f"{_NAMES.index(kind)} {(x0 + x1) / 2 / WIDTH:.6f} {(y0 + y1) / 2 / HEIGHT:.6f} "
            f"{(x1 - x0) / WIDTH:.6f} {(y1 - y0) / HEIGHT:.6f}"
            for kind, (x0, y0, x1, y1) in zip(kinds, corners, strict=True)
        ]
        if rows:
            label = folder / "labels" / part / f"{number:03}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text("\n".join(rows))
    text = {"path": ".", "train": "images/train", "val": "images/val"}
    (folder / "data.yaml").write_text(yaml.safe_dump({**text, "names": dict(enumerate(_NAMES))}))


def half(seed: int) -> tuple[Image.Image, int]:
    """A picture whose left is dark and whose right is light, and the column of the edge."""
    rng = np.random.default_rng(seed)
    edge = int(rng.integers(30, WIDTH - 30))
    pixels = rng.integers(0, 30, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[:, edge:] += 200
    return Image.fromarray(pixels), edge


def masks(folder: Path, count: int = 30) -> None:
    """Masks with colours, a class file, a border that is ignored, and names such as ``1_mask``."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for number in range(count):
        picture, edge = half(number)
        picture.save(folder / "images" / f"{number}.png")
        mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        mask[:, :edge] = (10, 20, 30)
        mask[:, edge:] = (200, 100, 0)
        mask[:2] = (255, 255, 255)
        Image.fromarray(mask).save(folder / "masks" / f"{number}_mask.png")
    (folder / "classes.csv").write_text("name,r,g,b\nnight,10,20,30\nday,200,100,0\n")


def cloud(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A flat floor and a pillar on it: points float32 (n, 3) and their labels."""
    rng = np.random.default_rng(seed)
    floor = np.column_stack([rng.uniform(-1, 1, (150, 2)), rng.normal(0, 0.02, 150)])
    angle = rng.uniform(0, 2 * np.pi, 150)
    pillar = np.column_stack([0.1 * np.cos(angle), 0.1 * np.sin(angle), rng.uniform(0.3, 2, 150)])
    points = np.concatenate([floor, pillar]).astype(np.float32)
    return points, np.repeat([4, 11], 150)


def points(folder: Path, count: int = 24) -> None:
    """PLY files with a property ``label``; the numbers of the labels have gaps."""
    folder.mkdir(parents=True)
    for number in range(count):
        places, labels = cloud(number)
        rows = "".join(
            f"{x:.5f} {y:.5f} {z:.5f} {label}\n"
            for (x, y, z), label in zip(places, labels, strict=True)
        )
        (folder / f"{number:02}.ply").write_text(
            f"ply\nformat ascii 1.0\nelement vertex {len(places)}\nproperty float x\n"
            f"property float y\nproperty float z\nproperty uchar label\nend_header\n{rows}"
        )


def tags(folder: Path, count: int = 120) -> None:
    """Texts about sea, snow, both or neither."""
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True)
    lines = ["text;topics"]
    for number in range(count):
        has = [number % 2 == 1, number % 4 > 1]
        words = [["the wide sea", "fresh snow"][i] for i in range(2) if has[i]] or ["a quiet day"]
        start = ["we saw", "they like", "a tale of", "pictures of"][int(rng.integers(4))]
        applied = zip(("sea", "snow"), has, strict=True)
        topics = "|".join(name for name, applies in applied if applies)
        lines.append(f"{start} {' and '.join(words)};{topics}")
    (folder / "texts.csv").write_text("\n".join(lines))


def wave(steps: np.ndarray, period: float, level: float) -> np.ndarray:
    """A wave of a period and an amplitude of a tenth of its level."""
    return np.asarray(level + level / 10 * np.sin(2 * np.pi * steps / period))


def wide(folder: Path, steps: int = 420) -> None:
    """Hourly columns, in no order, with missing cells and a column that is no series."""
    folder.mkdir(parents=True)
    hours = np.datetime64("2024-01-01T00") + np.arange(steps)
    load, oil = wave(np.arange(steps), 12, 50), wave(np.arange(steps) + 3, 12, 500)
    rows = [f"{hour},{a:.4f},{b:.4f},fine" for hour, a, b in zip(hours, load, oil, strict=True)]
    rows[100] = f"{hours[100]},,{oil[100]:.4f},fine"
    order = np.random.default_rng(6).permutation(steps)
    (folder / "wide.csv").write_text(
        "\n".join(["date,load,oil,comment", *(rows[index] for index in order)])
    )


def long(folder: Path, steps: int = 200) -> None:
    """Daily sales of shops whose ids are numbers, with a day that is missing."""
    folder.mkdir(parents=True)
    rows = []
    for shop in (17, 4, 230):
        values = wave(np.arange(steps) + shop, 7, 100 + shop)
        for day in range(steps):
            if day != 50:
                rows.append(f"{shop},{np.datetime64('2023-05-01') + day},{values[day]:.3f}")
    (folder / "long.csv").write_text("\n".join(["shop,day,sold", *rows]))


def gesture(kind: str, seed: int, steps: int = 64) -> np.ndarray:
    """A slow or a fast wave of any phase, with noise."""
    rng = np.random.default_rng(seed)
    period = 32 if kind == "slow" else 6
    noise = rng.normal(0, 0.1, steps)
    return np.asarray(np.sin(2 * np.pi * (np.arange(steps) / period + rng.uniform())) + noise)


def gestures(folder: Path, count: int = 60) -> None:
    """A table in the form of the UCR archive: the class, then the values of the series."""
    folder.mkdir(parents=True)
    lines = ["kind," + ",".join(f"v{step}" for step in range(64))]
    for number in range(count):
        kind = ("slow", "fast")[number % 2]
        values = ",".join(f"{value:.4f}" for value in gesture(kind, number))
        lines.append(f"{kind},{values}")
    (folder / "gestures.csv").write_text("\n".join(lines))


_RATE = 16_000
_HERTZ = {"high": 2400.0, "low": 220.0}
PLACES = ("the hall", "a street", "our garden", "the kitchen", "a train")


def tone(kind: str, seed: int) -> bytes:
    """A WAV file of 0.7 s with a high or a low tone and some noise."""
    import io

    import soundfile

    rng = np.random.default_rng(seed)
    times = np.arange(int(0.7 * _RATE)) / _RATE
    hertz = _HERTZ[kind] * rng.uniform(0.9, 1.1)
    sound = 0.3 * np.sin(2 * np.pi * hertz * times) + rng.normal(0, 0.01, len(times))
    stream = io.BytesIO()
    soundfile.write(stream, sound.astype(np.float32), _RATE, format="WAV")
    return stream.getvalue()


def tones(folder: Path, count: int = 40) -> None:
    """Folders of high and low tones, and a table that says in words where they sound."""
    lines = ["file,caption,part"]
    for number in range(count):
        kind = ("high", "low")[number % 2]
        file = folder / kind / f"{number}.WAV"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(tone(kind, number))
        noun = {"high": "whistle", "low": "rumble"}[kind]
        word = ("we hear", "there is", "listen to", "imagine")[number // 2 % 4]
        place = PLACES[number // 2 % len(PLACES)]
        part = "test" if number % 10 > 7 else "train"
        lines.append(f"{kind}/{number}.WAV,{word} a {kind} {noun} in {place},{part}")
    (folder / "pairs.csv").write_text("\n".join(lines))
