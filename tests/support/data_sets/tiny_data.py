"""Data directories in the form of the real ones, a few random items each."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from omnivec2.training.data.sets.audio import ESC10_LABELS
from omnivec2.training.data.sets.image import CIFAR10_LABELS

_RNG = np.random.default_rng(0)


def _jpeg(height: int, width: int) -> bytes:
    pixels = _RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def _gzip(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        file.write(text)


def cifar10(root: Path, train_per_class: int = 13) -> None:
    path = root / "image_cifar10_jpeg" / "cifar10_jpeg.tar.xz"
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:xz") as tar:
        for part, count in (("train", train_per_class), ("test", 1)):
            for name in CIFAR10_LABELS:
                for number in range(count):
                    data = _jpeg(32, 32)
                    member = tarfile.TarInfo(f"{part}/{name}/{number:04}.jpg")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


def bccd(root: Path) -> None:
    folder = root / "image_detection_bccd" / "BCCD"
    for name in ("ImageSets/Main", "JPEGImages", "Annotations"):
        (folder / name).mkdir(parents=True)
    for part in ("train", "val", "test"):
        names = [f"{part}_{number}" for number in range(2)]
        (folder / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(names))
        for name in names:
            (folder / "JPEGImages" / f"{name}.jpg").write_bytes(_jpeg(48, 64))
            (folder / "Annotations" / f"{name}.xml").write_text(
                voc((64, 48), [("RBC", 8, 8, 24, 40), ("WBC", 30, 10, 60, 30)])
            )


def voc(size: tuple[int, int], boxes: list[tuple[str, float, float, float, float]]) -> str:
    """A Pascal VOC annotation of (name, xmin, ymin, xmax, ymax) boxes."""
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for name, x0, y0, x1, y1 in boxes
    )
    width, height = size
    sides = f"<size><width>{width}</width><height>{height}</height></size>"
    return f"<annotation>{sides}{objects}</annotation>"


def camvid(root: Path) -> None:
    folder = root / "image_segmentation_camvid"
    folder.mkdir()
    (folder / "classes.json").write_text(json.dumps(["Sky", "Road", "Unlabelled(ignore)"]))
    for part in ("train", "val", "test"):
        (folder / part).mkdir()
        (folder / f"{part}annot").mkdir()
        mask = np.zeros((180, 240), dtype=np.uint8)
        mask[90:] = 1
        mask[:, :10] = 2
        (folder / part / "a.jpg").write_bytes(_jpeg(180, 240))
        Image.fromarray(mask).save(folder / f"{part}annot" / "a.png")


def fights(root: Path) -> None:
    for name, prefix in (("fight", "fi"), ("noFight", "nofi")):
        folder = root / "video_fight_surv" / name
        folder.mkdir(parents=True)
        for number in (1, 105, 106, 121):
            (folder / f"{prefix}{number:03}.jpg").write_bytes(_jpeg(84, 1792))


def esc10(root: Path) -> None:
    for name in ESC10_LABELS:
        folder = root / "audio_esc10" / name
        folder.mkdir(parents=True)
        for clip in ("1-10-A", "3-20-A", "3-20-B", "3-31-A", "3-40-A", "3-40-B", "4-50-A"):
            sound = _RNG.normal(0, 0.1, 8000).astype(np.float32)
            soundfile.write(folder / f"{clip}.ogg", sound, 16000, format="OGG")


def spoken(root: Path, folder: str, column: str, labels: Sequence[str]) -> None:
    """Write clips one after another in a file per part, with an index of them."""
    for part in ("train", "val", "test"):
        (root / folder / part).mkdir(parents=True)
        sound = _RNG.normal(0, 0.1, 4000 * len(labels) * 2).astype(np.float32)
        file = f"{part}/somebody.ogg"
        soundfile.write(root / folder / file, sound, 16000, format="OGG")
        rows = [
            f"{file},{4000 * place},3000,{label},{45 if place % 2 else 7}"
            for place, label in enumerate([*labels, *labels])
        ]
        header = f"file,start,length,{column},index"
        _gzip(root / folder / f"{part}.csv.gz", "\n".join([header, *rows]) + "\n")


def digits(root: Path) -> None:
    spoken(root, "audio_fsdd", "digit", "012345678")


def emotions(root: Path) -> None:
    spoken(root, "audio_ravdess_speech", "emotion", ("neutral", "calm", "angry"))


def tiny_imagenet(root: Path) -> None:
    folder = root / "image_tinyimagenet50"
    folder.mkdir()
    names = {"n01": "goldfish, Carassius auratus", "n02": "snail"}
    (folder / "classes.json").write_text(json.dumps(names))
    with tarfile.open(folder / "tinyimagenet50.tar.xz", "w:xz") as tar:
        for part in ("train", "val", "test"):
            for label in names:
                data = _jpeg(64, 64)
                member = tarfile.TarInfo(f"{part}/{label}/{label}_1.JPEG")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def sst2(root: Path) -> None:
    for part in ("train", "dev", "test"):
        _gzip(
            root / "text_sst2" / f"{part}.tsv.gz",
            "a fine film\t1\na dull , dull film\t0\n" * 2,
        )


def mrpc(root: Path) -> None:
    head = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    rows = '1\t1\t2\tHe said "no.\tHe said no.\n0\t3\t4\tIt rains.\tThe market fell.\n'
    for part in ("train", "val", "test"):
        _gzip(root / "text_mrpc" / f"msr-para-{part}.tsv.gz", head + rows)


def dialogues(root: Path) -> None:
    rows = [
        ("Doctor: Any allergies? \nPatient: Penicillin.\nDoctor: Anything else?", "Penicillin."),
        ("Doctor: Do you smoke?\nPatient: No, I never did.", "He does not smoke."),
    ]
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["ID", "section_header", "section_text", "dialogue"])
    for number in range(6):
        dialogue, summary = rows[number % 2]
        writer.writerow([number, "GENHX", summary, dialogue])
    for part in ("Training", "Validation", "Test"):
        for name in {"Test": ("TestSet-1-MEDIQA-Chat-2023", "TestSet-2-MEDIQA-Sum-2023")}.get(
            part, (f"{part}Set",)
        ):
            _gzip(root / "text_mtsdialog" / f"MTS-Dialog-{name}.csv.gz", file.getvalue())
    everyday = [
        ("#Person2#: Well?\n#Person1#: Any allergies?", "#Person1# is allergic to nothing."),
        ("#Person1#: Do you smoke?\n#Person2#: No, never.", "#Person2# does not smoke."),
    ]
    for part, keys in (("dev", ("summary",)), ("test", ("summary1", "summary2", "summary3"))):
        lines = [
            json.dumps({"dialogue": dialogue, **dict.fromkeys(keys, summary)})
            for dialogue, summary in everyday * 26
        ]
        _gzip(root / "text_dialogsum" / f"dialogsum.{part}.jsonl.gz", "\n".join(lines))


def sick(root: Path) -> None:
    head = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n"
    rows = "".join(
        f"{number}\tIt rains.\tThe street is wet.\t3.{number}\t{judgement}\n"
        for number, judgement in enumerate(("ENTAILMENT", "NEUTRAL", "CONTRADICTION"))
    )
    for part in ("train", "trial", "test_annotated"):
        _gzip(root / "text_sick_nli" / f"SICK_{part}.txt.gz", head + rows)


_UTDMHAD = [(s, t, a) for s in (1, 2, 7) for t in (1, 3) for a in (1, 2)]
"""Subject, trial and action of every recording."""


def utdmhad_inertial(root: Path) -> None:
    folder = root / "imu_utdmhad"
    folder.mkdir()
    subject, trial, action = np.array(_UTDMHAD, dtype=np.uint8).T
    length = np.full(len(_UTDMHAD), 200, dtype=np.int16)
    signal = _RNG.normal(size=(int(length.sum()), 6)).astype(np.float32)
    np.savez(
        folder / "utdmhad_inertial.npz",
        signal=signal,
        length=length,
        subject=subject,
        trial=trial,
        action=action,
    )


def utdmhad(root: Path) -> None:
    folder = root / "depth_utdmhad"
    folder.mkdir()
    cells = _UTDMHAD
    subject, trial, action = (
        np.array(column, dtype=np.uint8) for column in zip(*cells, strict=True)
    )
    np.savez(
        folder / "utdmhad_depth_16x60x80_uint8.npz",
        depth=_RNG.integers(0, 249, (len(cells), 16, 60, 80), dtype=np.uint8),
        subject=subject,
        trial=trial,
        action=action,
    )
    (folder / "action_names.json").write_text(json.dumps({"1": "wave", "2": "clap"}))


def modelnet10(root: Path) -> None:
    folder = root / "pointcloud_modelnet10"
    folder.mkdir()

    def grids(count: int) -> np.ndarray:
        grid = np.zeros((count, 30, 30, 30), dtype=np.uint8)
        grid[1:, 5:20, 5:20, 5:15] = 1  # the first stays empty, as some of the real ones
        return np.packbits(grid.reshape(count, -1), axis=1)

    np.savez(
        folder / "modelnet10_vox30_packed.npz",
        shape=np.array([30, 30, 30]),
        classes=np.array(["chair", "night_stand"]),
        vox_train=grids(21),
        y_train=np.arange(21, dtype=np.uint8) % 2,
        vox_test=grids(3),
        y_test=np.arange(3, dtype=np.uint8) % 2,
    )


def etth1(root: Path, hours: int = 14_500) -> None:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["date", "HUFL", "OT"])
    for hour in range(hours):
        writer.writerow([hour, hour, 1000 + 2 * (hour % 24)])
    _gzip(root / "timeseries_ett" / "ETTh1.csv.gz", file.getvalue())


def adult(root: Path) -> None:
    row = "39, State-gov, 77516, Bachelors, 13, Never-married, ?, Not-in-family, White, Male, 0, 0"
    rows = [
        f"{row}, {i}, {'United-States' if i % 8 else '?'}, {'<=50K' if i % 4 else '>50K'}"
        for i in range(40)
    ]
    _gzip(root / "tabular_adult" / "adult-train.csv.gz", "\n".join(rows))
    _gzip(root / "tabular_adult" / "adult-test.csv.gz", "\n".join(f"{row}." for row in rows[:8]))


def bank(root: Path) -> None:
    head = (
        "poutcome,job,marital,education,default,housing,loan,contact,day,month,campaign,"
        "duration,pdays,previous,age,balance,y"
    )
    row = "unknown,management,married,tertiary,no,yes,no,unknown,5,may,1,261,-1,0,{},2143,{}"
    rows = [row.format(20 + i, "yes" if i % 2 else "no") for i in range(40)]
    _gzip(root / "tabular_bank" / "bank-full.csv.gz", "\n".join([head, *rows]))


def molecules(root: Path) -> None:
    chains = ["C" * n for n in range(1, 30)] + ["OCC", "CCO"]  # the last two are one molecule
    for name, column in (("esol", "logSolubility"), ("Lipophilicity", "exp")):
        lines = [f"smiles,{column}", *(f"{s},{-len(s) / 10}" for s in chains)]
        _gzip(root / "graph_molecules" / f"{name}.csv.gz", "\n".join(lines))


def pneumonia(root: Path) -> None:
    folder = root / "xray_pneumoniamnist"
    folder.mkdir()
    arrays = {}
    for part in ("train", "val", "test"):
        arrays[f"{part}_images"] = _RNG.integers(0, 256, (4, 28, 28), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.array([[0], [1], [1], [0]], dtype=np.uint8)
    np.savez(folder / "pneumoniamnist.npz", **arrays)


def hituav(root: Path) -> None:
    folder = root / "infrared_hituav"
    folder.mkdir()
    names = ["Person", "Car", "Bicycle", "OtherVehicle", "DontCare"]
    arrays: dict[str, np.ndarray] = {"classes": np.array(names)}
    for part in ("train", "val", "test"):
        arrays[f"X_{part}"] = _RNG.integers(0, 256, (4, 32, 32), dtype=np.uint8)
        arrays[f"y_{part}"] = np.arange(4, dtype=np.uint8)
    np.savez(folder / "hituav_crops_32x32.npz", **arrays)


def ucihar(root: Path) -> None:
    folder = root / "imu_ucihar"
    folder.mkdir()
    np.savez(
        folder / "ucihar_raw_64x9_float16.npz",
        classes=np.array(["WALKING", "WALKING_UPSTAIRS"]),
        X_train=_RNG.normal(size=(6, 64, 9)).astype(np.float16),
        y_train=np.array([0, 1] * 3, dtype=np.uint8),
        s_train=np.array([1, 1, 3, 3, 27, 29], dtype=np.uint8),
        X_test=_RNG.normal(size=(2, 64, 9)).astype(np.float16),
        y_test=np.array([0, 1], dtype=np.uint8),
        s_test=np.array([2, 4], dtype=np.uint8),
    )


def salinas(root: Path, per_class: int = 75) -> None:
    folder = root / "hyperspectral"
    folder.mkdir()
    count = 8 * per_class
    np.savez(
        folder / "salinas_crop150_labeled.npz",
        X=_RNG.integers(1, 5000, (count, 204)).astype(np.int16),
        y=(np.arange(count) % 8 + 1).astype(np.uint8),
        pos=(np.arange(count) * 3 + 1).astype(np.uint16),
    )


TINY: dict[str, Callable[[Path], None]] = {
    "image/classification": cifar10,
    "image/detection": bccd,
    "image/segmentation": camvid,
    "video/action": fights,
    "image/object": tiny_imagenet,
    "audio/events": esc10,
    "audio/digit": digits,
    "audio/emotion": emotions,
    "text/sentiment": sst2,
    "text/paraphrase": mrpc,
    "text/entailment": sick,
    "text/summarization": dialogues,
    "depth/action": utdmhad,
    "pointcloud/classification": modelnet10,
    "timeseries/forecast": etth1,
    "tabular/income": adult,
    "tabular/marketing": bank,
    "graph/solubility": molecules,
    "graph/lipophilicity": molecules,
    "xray/pneumonia": pneumonia,
    "infrared/objects": hituav,
    "imu/activity": ucihar,
    "hyperspectral/landcover": salinas,
}
"""Route -> what writes a tiny data directory for it."""
