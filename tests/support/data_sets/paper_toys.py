"""Toy copies of the paper's data sets, in the form that the recipes in ``recipes/paper`` state.

Each function writes one data set below a directory of data; :data:`TOYS` has them by recipe.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from scipy.io import savemat

from tests.support.sample_files.clips import clip
from tests.support.sample_files.sounds import tones, written

_RNG = np.random.default_rng(0)
_CLASSES = ("first", "second")

Write = Callable[[Path, int], None]
"""(file without its ending, number) -> None."""


def _save(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def picture(path: Path, number: int, suffix: str = ".png", *, grey: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = _RNG.integers(0, 90, (48, 48) if grey else (48, 48, 3)) + 80 * (number % 2)
    Image.fromarray(pixels.astype(np.uint8)).save(path.with_name(path.name + suffix))


def levels(path: Path, number: int) -> None:
    """Write a depth picture of 16 bits, in millimetres."""
    path.parent.mkdir(parents=True, exist_ok=True)
    depth = np.full((48, 48), 1500 + 700 * (number % 2), np.uint16)
    depth[:, :4] = 0
    Image.fromarray(depth).save(path.with_name(f"{path.name}.png"))


def classes_of_pixels(path: Path, number: int, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((48, 48), np.uint8)
    mask[:, 8 + number :] = 1 + number % count
    mask[24:] = 1 + (number + 1) % count
    Image.fromarray(mask).save(path.with_name(f"{path.name}.png"))


def film(path: Path, number: int) -> None:
    # The clips differ in length: equal files in two parts would be duplicates.
    _save(path.with_name(f"{path.name}.mp4"), clip(6 + number))


def mesh(path: Path, number: int) -> None:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1 + number % 2)])
    faces = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
    lines = ["OFF", f"8 {len(faces)} 0", *(" ".join(map(str, corner)) for corner in corners)]
    lines += [f"4 {' '.join(map(str, face))}" for face in faces]
    _save(path.with_name(f"{path.name}.off"), "\n".join(lines))


def cloud(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    points = _RNG.normal(size=(60, 3)) * [1, 1, 1 + number % 2]
    np.save(path.with_name(f"{path.name}.npy"), points.astype(np.float32))


def folders(
    root: Path, folder: str, write: Write, parts: Iterable[str] = ("train", "val"), count: int = 6
) -> None:
    """Write files in folders of two classes."""
    for start, part in enumerate(parts):
        for label, name in enumerate(_CLASSES):
            for number in range(count):
                write(root / folder / part / name / f"{number}", 2 * (number + 20 * start) + label)


def corrupted(root: Path) -> None:
    folders(root, "modelnet40", mesh, ("train",))
    folders(root, "modelnet40c", cloud, ("uniform", "occlusion"), 3)


def rooms(root: Path) -> None:
    for area in range(1, 7):
        folder = root / "s3dis" / f"Area_{area}"
        folder.mkdir(parents=True)
        for room in range(1, 4):
            points = _RNG.uniform(size=(200, 7)).astype(np.float32)
            points[:, 6] = np.arange(200) % 13
            np.save(folder / f"office_{room}.npy", points)


def indoor(root: Path) -> None:
    for start, part in enumerate(("train", "test")):
        for number in range(6):
            folder, name = root / "nyuv2" / part, f"{number}"
            picture(folder / "images" / name, number + 6 * start)
            classes_of_pixels(folder / "masks" / name, number, 4)
            levels(folder / "depth" / name, number)


def scenes(root: Path) -> None:
    names = {number: f"class {number}" for number in range(1, 151)}
    _save(root / "ade20k" / "classes.yaml", yaml.safe_dump(names))
    for part in ("training", "validation"):
        for number in range(6):
            picture(root / "ade20k" / "images" / part / f"{number}", number, ".jpg")
            classes_of_pixels(root / "ade20k" / "annotations" / part / f"{number}", number, 150)


def objects(root: Path) -> None:
    for part in ("train2017", "val2017"):
        images, annotations = [], []
        for number in range(6):
            picture(root / "coco" / part / f"{number:012}", number, ".jpg")
            images.append(
                {"id": number, "file_name": f"{number:012}.jpg", "width": 48, "height": 48}
            )
            box = [4 + number, 6, 20, 24]
            annotations.append(
                {"id": number + 1, "image_id": number, "category_id": 18 + number % 2,
                 "bbox": box, "area": 480, "iscrowd": 0}
            )  # fmt: skip
        categories = [{"id": 18, "name": "dog"}, {"id": 19, "name": "horse"}]
        content = {"images": images, "annotations": annotations, "categories": categories}
        _save(root / "coco" / "annotations" / f"instances_{part}.json", json.dumps(content))


def sounds(root: Path) -> None:
    tags = ("Speech", '"Speech,Music"', "Music", '"Dog,Music"', "Dog", "Speech")
    for start, part in enumerate(("train", "eval")):
        rows = ["path,labels"]
        for number, tag in enumerate(tags * 2):
            name = f"{part}/{number}.wav"
            _save(root / "audioset" / name, written(tones(0.6, seed=number + 20 * start)))
            rows.append(f"{name},{tag}")
        _save(root / "audioset" / f"{part}.csv", "\n".join(rows))


def environmental(root: Path) -> None:
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for number in range(20):
        _save(root / "esc50" / "audio" / f"{number}.wav", written(tones(0.6, seed=number)))
        fold, kind = 1 + number % 5, ("dog", "rain")[number // 5 % 2]
        rows.append(f"{number}.wav,{fold},{number % 2},{kind},True,{number},A")
    _save(root / "esc50" / "meta" / "esc50.csv", "\n".join(rows))


def glue(
    root: Path, folder: str, header: str, labels: tuple[str, ...], test: str = "dev.tsv"
) -> None:
    """Write tables of sentences; a column is named ``label…`` or holds a text."""
    columns = header.split("|")
    for start, name in enumerate(("train.tsv", test)):
        rows = ["\t".join(columns)]
        for number in range(16):
            label = labels[number % len(labels)]
            text = f"sentence {number + 50 * start} of {label}"
            cells = [label if "*" in column else f"{text} {column}" for column in columns]
            rows.append("\t".join(cells))
        content = "\n".join(rows).replace("*", "")
        _save(root / folder / name, content)


def chats(root: Path, folder: str, suffix: str, parts: Iterable[str]) -> None:
    for start, part in enumerate(parts):
        talks = [
            {"id": f"{part}{n}", "dialogue": f"Amanda: I baked {n + 30 * start} cakes. Tom: OK!",
             "summary": f"Amanda baked {n} cakes."}
            for n in range(8)
        ]  # fmt: skip
        if suffix == "csv":
            lines = ["id,dialogue,summary"]
            lines += [f'{t["id"]},"{t["dialogue"]}","{t["summary"]}"' for t in talks]
        else:
            lines = [json.dumps(talk) for talk in talks]
        _save(root / folder / f"{part}.{suffix}", "\n".join(lines))


def people(root: Path) -> None:
    for start, part in enumerate(("train", "test")):
        for person in range(4):
            for number in range(4):
                path = root / "regdb" / part / f"{person + 10 * start}" / f"{number}"
                picture(path, person, grey=True)


def chests(root: Path) -> None:
    findings = ("No Finding", "Mass|Nodule", "Mass", "Effusion", "Nodule|Effusion")
    rows = ["Image Index,Finding Labels,Follow-up #,Patient ID"]
    for number in range(40):
        picture(root / "chestxray14" / "images" / f"{number:08}", number, grey=True)
        rows.append(f"{number:08}.png,{findings[number % 5]},0,{number // 2}")
    _save(root / "chestxray14" / "Data_Entry_2017.csv", "\n".join(rows))


def fields(root: Path) -> None:
    folder = root / "indian_pines"
    folder.mkdir()
    truth = np.kron(_RNG.integers(0, 4, (6, 6)), np.ones((8, 8), int)).astype(np.uint8)
    cube = (_RNG.integers(900, 1100, (48, 48, 24)) * (1 + truth[..., None])).astype(np.uint16)
    savemat(folder / "Indian_pines_corrected.mat", {"indian_pines_corrected": cube})
    savemat(folder / "Indian_pines_gt.mat", {"indian_pines_gt": truth})


def series(root: Path, folder: str, file: str, step: str) -> None:
    times = np.datetime64("2016-07-01") + np.arange(3000) * _STEPS[step]
    hours = np.arange(3000)
    rows = [
        f"{str(time).replace('T', ' ')},{np.sin(hour / 4):.4f},{np.cos(hour / 9) * 20:.4f}"
        for time, hour in zip(times.astype("datetime64[s]"), hours, strict=True)
    ]
    _save(root / folder / file, "\n".join(["date,first,OT", *rows]))


_STEPS = {
    "hour": np.timedelta64(1, "h"),
    "ten minutes": np.timedelta64(10, "m"),
    "day": np.timedelta64(1, "D"),
}


def molecules(root: Path) -> None:
    rows = ["idx,smiles,homolumogap"]
    rows += [f"{n},{'C' * (1 + n % 25)}{'O' * (n // 25)},{3 + n / 50:.3f}" for n in range(200)]
    (root / "pcqm4m").mkdir()
    with gzip.open(root / "pcqm4m" / "data.csv.gz", "wt") as file:
        file.write("\n".join(rows))


def people_in_table(root: Path) -> None:
    rows = [f"{20 + n},{'Private' if n % 3 else 'State-gov'},{'>50K' if n % 2 else '<=50K'}"
            for n in range(60)]  # fmt: skip
    _save(root / "adult" / "adult.csv", "\n".join(["age,workclass,income", *rows]))


def customers(root: Path) -> None:
    rows = [f'{20 + n};"{"admin." if n % 3 else "services"}";{n * 7};"{"yes" if n % 2 else "no"}"'
            for n in range(60)]  # fmt: skip
    _save(root / "bank" / "bank-full.csv", "\n".join(['"age";"job";"balance";"y"', *rows]))


def motions(root: Path) -> None:
    names = [f"{kind}_{axis}" for kind in ("acc", "gyro") for axis in "xyz"]
    rows = [",".join(["clip", "part", "activity", *names])]
    for number in range(12):
        part, activity = ("train", "val", "test")[number // 4], ("cook", "walk")[number % 2]
        for sample in _RNG.normal(size=(140, 6)) * (1 + number % 2):
            rows.append(f"{number},{part},{activity}," + ",".join(f"{x:.3f}" for x in sample))
    _save(root / "ego4d" / "imu.csv", "\n".join(rows))


def captioned_clips(root: Path) -> Path:
    """Write clips with two captions each, and return the table of pairs."""
    rows = ["caption,clip,part"]
    for number in range(8):
        film(root / "clips" / f"{number}", number)
        part = "train" if number < 5 else "test"
        rows += [f"{words} number {number},clips/{number}.mp4,{part}" for words in ("a", "the")]
    _save(root / "pairs.csv", "\n".join(rows))
    return root / "pairs.csv"


_TEST = ("train", "test")
_SENTIMENT, _YES = ("0", "1"), ("entailment", "not_entailment")
_THREE = ("entailment", "neutral", "contradiction")

TOYS: dict[str, Callable[[Path], None]] = {
    "imagenet": partial(folders, folder="imagenet1k", write=partial(picture, suffix=".JPEG")),
    "places": partial(folders, folder="places365", write=partial(picture, suffix=".jpg")),
    "inaturalist": partial(
        folders, folder="inaturalist2018", write=partial(picture, suffix=".jpg")
    ),
    "pets": partial(folders, folder="pets", write=partial(picture, suffix=".jpg"), parts=_TEST),
    "kinetics": partial(folders, folder="kinetics400", write=film, count=3),
    "something": partial(folders, folder="ssv2", write=film, count=3),
    "moments": partial(folders, folder="moments", write=film, count=3),
    "ucf101": partial(folders, folder="ucf101", write=film, parts=_TEST, count=3),
    "hmdb51": partial(folders, folder="hmdb51", write=film, parts=_TEST, count=3),
    "sunrgbd": partial(folders, folder="sunrgbd", write=levels, parts=_TEST),
    "modelnet40": partial(folders, folder="modelnet40", write=mesh, parts=_TEST),
    "scanobjectnn": partial(folders, folder="scanobjectnn", write=cloud, parts=_TEST),
    "modelnet40c": corrupted,
    "s3dis": rooms,
    "nyuv2": indoor,
    "nyuv2-depth": indoor,
    "ade20k": scenes,
    "coco": objects,
    "audioset": sounds,
    "esc50": environmental,
    "sst2": partial(glue, folder="sst2", header="sentence|label*", labels=_SENTIMENT),
    "mrpc": partial(
        glue, folder="mrpc", header="Quality*|#1 ID|#2 ID|#1 String|#2 String", labels=_SENTIMENT
    ),
    "qqp": partial(
        glue, folder="qqp", header="id|question1|question2|is_duplicate*", labels=_SENTIMENT
    ),
    "mnli": partial(
        glue, folder="mnli", header="index|sentence1|sentence2|gold_label*", labels=_THREE,
        test="dev_matched.tsv",
    ),
    "qnli": partial(glue, folder="qnli", header="index|question|sentence|label*", labels=_YES),
    "dialogsum": partial(
        chats, folder="dialogsum", suffix="csv", parts=("train", "validation", "test")
    ),
    "samsum": partial(chats, folder="samsum", suffix="jsonl", parts=("train", "val", "test")),
    "regdb": people,
    "chestxray14": chests,
    "indian-pines": fields,
    "etth1": partial(series, folder="etth1", file="ETTh1.csv", step="hour"),
    "traffic": partial(series, folder="traffic", file="traffic.csv", step="hour"),
    "weather": partial(series, folder="weather", file="weather.csv", step="ten minutes"),
    "exchange": partial(series, folder="exchange", file="exchange_rate.csv", step="day"),
    "pcqm4m": molecules,
    "adult": people_in_table,
    "bank": customers,
    "ego4d-imu": motions,
}  # fmt: skip
