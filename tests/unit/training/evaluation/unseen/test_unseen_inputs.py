"""The sets that embeddings are measured on, read from small files in their real forms."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import Modality
from omnivec2.training.data.base import DataDirectories, preprocess_spec
from omnivec2.training.evaluation.unseen import unseen_pictures
from omnivec2.training.evaluation.unseen.unseen_molecules import barrier, hydration
from omnivec2.training.evaluation.unseen.unseen_motion import (
    acts,
    basic_motions,
    gestures,
    racket_sports,
)
from omnivec2.training.evaluation.unseen.unseen_pictures import clothes, digits, things
from omnivec2.training.evaluation.unseen.unseen_sensors import (
    chests,
    jasper,
    modules,
    series_set,
)
from omnivec2.training.evaluation.unseen.unseen_set import UnseenSet
from omnivec2.training.evaluation.unseen.unseen_texts import (
    kept_for_measuring,
    plain_form,
    qnli,
    sick,
    stsb,
)


@pytest.fixture
def at(tmp_path: Path) -> DataDirectories:
    return DataDirectories(tmp_path, tmp_path / "cache")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()))


def test_sentences_come_in_pairs_with_what_people_said(at: DataDirectories) -> None:
    _write(
        at.root / "text_sick_nli/SICK_test_annotated.txt.gz",
        "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n"
        '6\tA man "plays"\tSomebody plays\t4.5\tNEUTRAL\n7\tA dog\tA car\t1.0\tNEUTRAL\n',
    )
    rows = [{"s1": f"one {i}", "s2": f"two {i}", "score": float(i)} for i in range(3)]
    _write(at.root / "text_stsb/dev.jsonl.gz", "".join(json.dumps(row) + "\n" for row in rows))
    first = sick(at)
    assert list(first.inputs) == ['A man "plays"', "A dog", "Somebody plays", "A car"]
    assert first.samples == 2
    second = stsb(at)
    same = np.eye(3)
    nearer = np.stack([same[1], same[1] + same[0], same[2]])
    assert second.score(np.concatenate([same, nearer])) > 0.5


def test_questions_are_those_whose_sentence_answers_them(at: DataDirectories) -> None:
    lines = ["index\tquestion\tsentence\tlabel"]
    lines += [f"{i}\tQ{i}?\tS{i}.\t{'' if i % 2 else 'not_'}entailment" for i in range(6)]
    _write(at.root / "text_qnli/dev.tsv.gz", "\n".join(lines) + "\n")
    found = qnli(at)
    assert list(found.inputs) == ["Q1?", "Q3?", "Q5?", "S1.", "S3.", "S5."]
    assert kept_for_measuring(at) == {"q1", "q3", "q5", "s1", "s3", "s5"}
    assert plain_form(" S1 !") in kept_for_measuring(at)


def test_digits_are_pictures_and_a_third_of_them_are_queries(at: DataDirectories) -> None:
    found = digits(at)
    assert (len(found.inputs), found.samples) == (1797, 597)
    assert found.inputs[0].shape == (8, 8, 3)
    assert found.inputs[0].dtype == np.uint8
    assert found.score(np.stack([one[..., 0].ravel() for one in found.inputs])) > 0.9


def test_clothes_are_read_from_idx_files(at: DataDirectories) -> None:
    rng = np.random.default_rng(0)
    folder = at.root / "image_fashion_mnist"
    folder.mkdir()
    for part, count in (("train", 30), ("t10k", 12)):
        labels = (np.arange(count) % 3).astype(np.uint8)
        pixels = rng.integers(0, 40, (count, 28, 28)).astype(np.uint8)
        pixels += (
            80 * labels[:, None, None] * (np.arange(28) < 14 + labels[:, None, None])
        ).astype(np.uint8)
        for name, array in (("labels-idx1", labels), ("images-idx3", pixels)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (folder / f"{part}-{name}-ubyte.gz").write_bytes(
                gzip.compress(header + array.tobytes())
            )
    found = clothes(at)
    assert (len(found.inputs), found.samples) == (42, 12)
    assert (
        found.score(np.stack([one.mean(axis=(1, 2)) + one[0, :, 0] for one in found.inputs])) > 0.9
    )


def test_clothes_that_are_nowhere_are_said_to_be_missing(
    at: DataDirectories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unseen_pictures, "FASHION_FOLDERS", (Path("image_fashion_mnist"),))
    with pytest.raises(ArtifactError, match="dataset-fashion-mnist"):
        clothes(at)


def test_things_are_known_from_the_training_part_and_asked_from_the_test_part(
    at: DataDirectories,
) -> None:
    path = at.root / "image_tinyimagenet50/tinyimagenet50.tar.xz"
    path.parent.mkdir()
    tones = {"n01": 20, "n02": 220}
    with tarfile.open(path, "w:xz") as tar:
        for part, count in (("train", 6), ("val", 2), ("test", 3)):
            for name, tone in tones.items():
                for number in range(count):
                    data = io.BytesIO()
                    Image.new("RGB", (64, 64), (tone, number, 255 - tone)).save(data, "JPEG")
                    member = tarfile.TarInfo(f"{part}/{name}/{number}.JPEG")
                    member.size = data.tell()
                    data.seek(0)
                    tar.addfile(member, data)
    found = things(at)
    assert (len(found.inputs), found.samples) == (18, 6)
    assert found.score(np.stack([one[0, 0].astype(float) for one in found.inputs])) == 1.0


def _samples(modality: Modality, unseen: UnseenSet) -> list[dict[str, np.ndarray]]:
    preprocessor = preprocessor_for(preprocess_spec(modality))
    return [dict(preprocessor.prepare(native).samples[0]) for native in unseen.inputs]


def _save(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def _strip(path: str, size: tuple[int, int], tar: tarfile.TarFile, tone: int = 0) -> None:
    data = io.BytesIO()
    Image.new("RGB", size, (tone, tone, tone)).save(data, "JPEG")
    member = tarfile.TarInfo(path)
    member.size = len(data.getvalue())
    tar.addfile(member, io.BytesIO(data.getvalue()))


def test_motions_of_other_sensors_get_the_channels_of_the_head(at: DataDirectories) -> None:
    rng = np.random.default_rng(0)
    for name, labels in (("imu_basicmotions", ["run", "walk"]), ("imu_racketsports", ["a", "b"])):
        for part in ("train", "test"):
            x = rng.normal(0, 9, (4, 30, 6)).astype(np.float32)
            _save(at.root / name / f"{part}.npz", x=x, y=np.array(labels * 2))
    for part in ("train", "test"):
        x = rng.normal(0, 1, (4, 50, 3)).astype(np.float16)
        _save(at.root / "imu_uwave_gesture" / f"{part}.npz", x=x, y=np.array([1, 2, 1, 2]))
    for load in (basic_motions, racket_sports, gestures):
        found = load(at)
        assert found.samples == 4
        assert {s["signal"].shape for s in _samples(Modality.IMU, found)} == {(64, 9)}


def test_clips_of_one_sequence_are_never_compared(at: DataDirectories) -> None:
    folder = at.root / "video_hupba_actions"
    folder.mkdir()
    names = {f"train/wave/{i}.jpg": {"label": "wave", "seq": f"S{i % 2}"} for i in range(4)}
    names |= {"test/run/5.jpg": {"label": "run", "seq": "S0"}}
    (folder / "labels.json").write_text(json.dumps(names))
    with tarfile.open(folder / "strips_16x112x84.tar", "w") as tar:
        for name in [*names, "train/other.jpg"]:
            _strip(name, (16 * 8, 6), tar)
    found = acts(at)
    assert (found.samples, found.inputs[0].shape) == (5, (16, 6, 8, 3))
    assert found.score(np.eye(5)) == pytest.approx(0.8)


def test_molecules_are_asked_for_classes_and_quantities(at: DataDirectories) -> None:
    folder = at.root / "graph_moleculenet_cls"
    _write(folder / "bbbp_train.csv.gz", "smiles,p_np\nCCO,1\nCCC,0\nCCN,1\n")
    _write(folder / "bbbp_test.csv.gz", "smiles,p_np\nCCCO,1\nCCCC,0\n")
    rows = "".join(f"{'C' * (i + 1)},{-i}.5\n" for i in range(10))
    _write(at.root / "graph_molecules/freesolv.csv.gz", f"smiles,expt\n{rows}")
    assert barrier(at).samples == 2
    found = hydration(at)
    assert (found.samples, found.metric, found.higher_is_better) == (2, "5-nn rmse", False)
    assert found.score(np.ones((10, 2))) > 0
    assert len(_samples(Modality.GRAPH, found)) == 10


def test_sensors_of_other_subjects_are_brought_to_the_inputs_of_the_heads(
    at: DataDirectories,
) -> None:
    rng = np.random.default_rng(0)
    folder = at.root / "xray_nih_covid"
    folder.mkdir()
    names = {f"{part}/{i}.jpg": {"cls": "ab"[i % 2]} for part in ("train", "val", "test")
             for i in range(4)}  # fmt: skip
    (folder / "labels.json").write_text(json.dumps({"images": names}))
    with tarfile.open(folder / "cxr128.tar", "w") as tar:
        for name in names:
            _strip(name, (16, 16), tar)
    modules_file = at.root / "infrared_solarmodules/solar_modules_40x24.npz"
    pictures = {f"{p}_images": rng.integers(0, 255, (6, 40, 24)).astype(np.uint8)
                for p in ("train", "test")}  # fmt: skip
    _save(modules_file, **pictures, train_labels=np.arange(6), test_labels=np.arange(6))
    _save(
        at.root / "hyperspectral_unmixing3/jasper.npz",
        spectra=rng.integers(1, 900, (12, 198)).astype(np.uint16),
        label=np.arange(12) % 4, split=np.arange(12) % 3,
    )  # fmt: skip
    values = rng.normal(size=(6, 50)).astype(np.float16)
    _save(at.root / "timeseries_ucr/FaceAll.npz", x_train=values, y_train=np.arange(6) % 2,
          x_test=values, y_test=np.arange(6) % 2)  # fmt: skip
    shapes = {}
    for modality, load in (
        (Modality.XRAY, chests), (Modality.INFRARED, modules), (Modality.HYPERSPECTRAL, jasper),
        (Modality.TIMESERIES, series_set("FaceAll")),
    ):  # fmt: skip
        found = load(at)
        sample = _samples(modality, found)[0]
        shapes[modality] = (found.samples, next(iter(sample.values())).shape[-1])
    assert shapes[Modality.XRAY][0] == 4
    assert shapes[Modality.INFRARED][0] == 6
    assert shapes[Modality.HYPERSPECTRAL] == (4, 204)
    assert shapes[Modality.TIMESERIES] == (6, 336)
