from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from omnivec2.checkpoint import load_stored_tensors, read_checkpoint
from omnivec2.errors import ArtifactError
from omnivec2.network.config import HeadConfig
from omnivec2.network.saved_network import load_network
from omnivec2.preprocess import collate, preprocessor_for
from omnivec2.preprocess.imu import Recording
from omnivec2.spec import DataSource, Modality, PreprocessSpec, TaskFamily
from omnivec2.training.adaptation.reading.prepared_rows import Prepared
from omnivec2.training.alignment.alignment_request import AlignRequest
from omnivec2.training.alignment.alignment_run import align, write_json
from omnivec2.training.alignment.fit_projections import (
    Summarised,
    contrastive_loss,
    embed_recordings,
    fit_heads,
)
from omnivec2.training.alignment.paired_recordings import AlignedData, Stream, load_aligned
from omnivec2.training.alignment.paired_tables import PairedTable, load_pairs
from omnivec2.training.alignment.retrieval_metrics import (
    ZeroShotFold,
    measure_recall,
    measure_zero_shot,
    recall_table,
    zero_shot_table,
)
from omnivec2.training.batches import as_tensors
from omnivec2.training.data.base import DataDirectories, preprocess_spec
from tests.support.data_sets.adapt_data import PREPROCESS, tiny_base
from tests.support.data_sets.tiny_data import TINY, utdmhad_inertial

NAMES = ("very slow", "slow", "steady", "quick", "hasty", "very quick")
RECORDINGS = 48


def recordings(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return waves of six frequencies with noise, float64 (recordings, 40, 4), and classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(RECORDINGS) % len(NAMES)
    phase = rng.uniform(0, 2 * np.pi, (RECORDINGS, 1, 4))
    angle = 0.3 * (1 + labels[:, None, None]) * np.arange(40)[None, :, None] + phase
    return np.sin(angle) + 0.05 * rng.normal(size=angle.shape), labels


def unit(*rows: tuple[float, ...]) -> np.ndarray:
    vectors = np.array(rows, dtype=np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# --- measures -----------------------------------------------------------------------------


def test_recall_counts_queries_with_one_of_their_class_among_the_nearest() -> None:
    queries = ("depth", unit((1, 0), (0, 1)), np.array([0, 1]))
    searched = ("imu", unit((1, 0.1), (1, 0.2), (0.1, 1)), np.array([0, 1, 0]))
    found = measure_recall(queries, searched, ranks=(1, 2, 3, 5))
    assert found.recall == {1: 0.5, 2: 1.0, 3: 1.0}
    # Two of three are right for the first query, one of three for the second.
    assert found.chance == pytest.approx({1: 0.5, 2: (1 + 2 / 3) / 2, 3: 1.0})


def test_recordings_are_classified_by_the_nearest_name_of_the_classes_left_out() -> None:
    fold = ZeroShotFold(
        unit((1, 0), (0, 1), (1, 0.2)), np.array([4, 7, 7]), unit((1, 0), (0, 1)), np.array([4, 7])
    )
    found = measure_zero_shot("imu", [fold])
    assert (found.queries, found.classes, found.chance) == (3, 2, 0.5)
    assert found.accuracy == pytest.approx(2 / 3)


def test_tables_show_recalls_with_chance_and_leave_ranks_out_that_were_not_measured() -> None:
    queries = ("imu", unit((1, 0), (0, 1)), np.array([0, 1]))
    searched = ("text", unit((1, 0.1), (0.1, 1)), np.array([0, 1]))
    shown = _printed(recall_table("Waves", [measure_recall(queries, searched)]))
    assert "recall@10" in shown
    assert "1.000 (0.500)" in shown
    assert shown.count("(") == 1


def test_zero_shot_tables_show_accuracy_and_chance() -> None:
    fold = ZeroShotFold(unit((1, 0), (0, 1)), np.array([4, 7]), unit((1, 0), (0, 1)),
                        np.array([4, 7]))  # fmt: skip
    shown = _printed(zero_shot_table([measure_zero_shot("imu", [fold])]))
    assert all(text in shown for text in ("imu", "1.000", "0.500"))


def _printed(table: Table) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_the_loss_is_least_where_partners_are_nearest() -> None:
    one = torch.nn.functional.normalize(torch.randn(6, 8), dim=1)
    assert contrastive_loss(one, one) < contrastive_loss(one, one.roll(1, dims=0))


# --- fitting ------------------------------------------------------------------------------


def test_heads_find_what_two_views_have_in_common() -> None:
    rng = np.random.default_rng(0)
    classes, count = 5, 200
    labels = np.arange(count) % classes
    meaning = rng.normal(size=(classes, 4))

    def view(size: int) -> Summarised:
        x = meaning[labels] @ rng.normal(size=(4, size)) + 0.1 * rng.normal(size=(count, size))
        return Summarised(x.astype(np.float32), np.arange(count), labels)

    views = {Modality.DEPTH: view(12), Modality.IMU: view(20)}
    config = HeadConfig(family=TaskFamily.EMBEDDING, tokenizer="", outputs=8, layers="fc",
                        hidden=16, summaries=("mean",))  # fmt: skip
    half = np.arange(count) < count // 2
    train = {m: Summarised(v.summaries[half], v.item[half], labels[half]) for m, v in views.items()}
    heads = fit_heads(train, dict.fromkeys(views, config), steps=150, seed=0)
    test = {
        m: Summarised(v.summaries[~half], np.arange((~half).sum()), labels[~half])
        for m, v in views.items()
    }
    sets = [(m.value, embed_recordings(heads[m], part), part.labels) for m, part in test.items()]
    assert measure_recall(sets[0], sets[1]).recall[1] > 0.95
    lengths = np.linalg.norm(sets[0][1], axis=1)
    assert lengths == pytest.approx(np.ones(len(lengths)), abs=1e-6)


def test_leaving_a_class_out_removes_all_of_its_recordings() -> None:
    part = Summarised(np.arange(5, dtype=np.float32)[:, None], np.array([0, 0, 1, 2, 2]),
                      np.array([3, 4, 3]))  # fmt: skip
    kept = part.keep_classes(np.array([3]))
    assert kept.summaries[:, 0].tolist() == [0, 1, 3, 4]
    assert kept.item.tolist() == [0, 0, 1, 1]
    assert kept.labels.tolist() == [3, 3]


# --- from recordings to a checkpoint ------------------------------------------------------


def imu_stream() -> Stream:
    """Return recordings of four channels. The base has three, so a new tokenizer is needed."""
    channels = ["acc_x", "acc_y", "acc_z", "pressure"]
    spec = preprocess_spec(Modality.IMU, window=16, rate_hz=50.0, channels=channels)
    preprocessor = preprocessor_for(spec)

    def part(seed: int) -> Prepared:
        signals, labels = recordings(seed)
        windows = [preprocessor.prepare(Recording(signal)).samples for signal in signals]
        item = np.repeat(np.arange(RECORDINGS), [len(own) for own in windows])
        return Prepared([one for own in windows for one in own], item, labels)

    return Stream(spec, part(0), part(1))


def image_stream() -> Stream:
    rng = np.random.default_rng(0)
    labels = np.arange(RECORDINGS) % len(NAMES)
    pictures = rng.integers(0, 20, (RECORDINGS, 32, 32, 3)) + labels[:, None, None, None] * 40
    samples = [{"pixels": p.astype(np.uint8)} for p in pictures]
    part = Prepared(samples, np.arange(RECORDINGS), labels)
    return Stream(PreprocessSpec.model_validate(
        preprocess_spec(Modality.IMAGE, **PREPROCESS[Modality.IMAGE])), part, part)  # fmt: skip


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AlignRequest]:
    folder = tmp_path_factory.mktemp("aligned")
    base = tiny_base(folder / "base", Modality.IMAGE, Modality.IMU, Modality.TEXT)
    data = AlignedData(
        name="Waves", test_name="other waves", names=NAMES,
        streams={Modality.IMAGE: image_stream(), Modality.IMU: imu_stream()},
        sources=(DataSource(name="Waves", licence="CC0"),),
    )  # fmt: skip
    request = AlignRequest(
        data, base, folder / "run", folder / "out", dimensions=8, steps=150, tokenizer_steps=60
    )
    result = align(request, Console(quiet=True))
    write_json(result, folder / "figures.json")
    return folder, request


def test_recordings_names_and_each_other_are_found(aligned: tuple[Path, AlignRequest]) -> None:
    figures = json.loads((aligned[0] / "figures.json").read_text())
    directions = {(row["asked"], row["found"]): row for row in figures["found"]}
    assert len(directions) == 6
    assert directions["image", "text"]["recall"]["1"] > 0.8
    assert directions["imu", "image"]["recall"]["1"] > 0.5
    assert directions["image", "imu"]["chance"]["1"] == pytest.approx(1 / 6)
    zero_shot = {row["modality"]: row for row in figures["zero_shot"]}
    assert {(row["queries"], row["classes"]) for row in zero_shot.values()} == {(RECORDINGS, 2)}
    assert set(zero_shot) == {"image", "imu"}


def test_the_trunk_stays_bit_for_bit_and_own_tokenizers_come_along(
    aligned: tuple[Path, AlignRequest],
) -> None:
    folder, request = aligned
    before, after = load_stored_tensors(request.base), load_stored_tensors(request.out)
    trunk = [name for name in before if name.startswith("trunk.")]
    assert trunk
    assert all(np.array_equal(before[name], after[name]) for name in trunk)
    assert after["tokenizers.imu_retrieval.project.weight"].shape[1] == 8 * 4
    assert "tokenizers.image.project.weight" in after
    specs = {head.route: head for head in read_checkpoint(folder / "out").heads}
    assert set(specs) == {"image/retrieval", "imu/retrieval", "text/retrieval"}
    assert all(head.outputs[0].shape == (8,) for head in specs.values())
    assert {metric.name for metric in specs["imu/retrieval"].metrics} == {
        *(f"recall@{k} of image" for k in (1, 5, 10)),
        *(f"recall@{k} of text" for k in (1, 5)),
    }


def test_the_written_checkpoint_answers_as_the_measured_heads(
    aligned: tuple[Path, AlignRequest],
) -> None:
    folder, request = aligned
    network = load_network(folder / "out").eval()
    stream = request.data.streams[Modality.IMAGE]
    with torch.no_grad():
        found = network("image/retrieval", as_tensors(collate(stream.test.samples[:6])))
    names = request.data.names
    text = preprocessor_for(read_checkpoint(folder / "out").heads[-1].preprocess)
    samples = [text.prepare(text.decode_json(name)).samples[0] for name in names]
    with torch.no_grad():
        known = network("text/retrieval", as_tensors(collate(samples)))["embedding"]
    nearest = torch.nn.functional.normalize(found["embedding"], dim=1) @ (
        torch.nn.functional.normalize(known, dim=1).T
    )
    assert nearest.argmax(dim=1).tolist() == stream.test.labels[:6].tolist()


# --- data ---------------------------------------------------------------------------------


def test_utd_mhad_has_the_same_actions_before_the_camera_and_at_the_wrist(tmp_path: Path) -> None:
    TINY["depth/action"](tmp_path)
    utdmhad_inertial(tmp_path)
    data = load_aligned("utd-mhad", DataDirectories(tmp_path, tmp_path / "cache"))
    assert data.names == ("wave", "clap")
    depth, imu = data.streams[Modality.DEPTH], data.streams[Modality.IMU]
    assert sorted(depth.train.labels) == sorted(imu.train.labels)
    assert sorted(depth.test.labels) == sorted(imu.test.labels)
    assert imu.train.samples[0]["signal"].shape == (96, 6)
    # A recording of 200 samples has several windows, which are one thing.
    assert len(imu.test.item) > len(imu.test.labels)


def test_a_data_set_that_is_unknown_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no data set 'x' to align; there is utd-mhad"):
        load_aligned("x", DataDirectories(tmp_path, tmp_path))


# --- pairs of a table ---------------------------------------------------------------------


def write_pairs(folder: Path, count: int = 24) -> Path:
    """Write pictures of four greys, each with a caption of its own, and a table of them."""
    rows = ["caption,picture,part"]
    for number in range(count):
        grey = number % 4
        pixels = np.full((32, 32, 3), 60 * grey + number // 4, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        part = "test" if number >= count - 8 else "train"
        rows.append(f"{('night', 'dusk', 'day', 'snow')[grey]} number {number},{number}.png,{part}")
    (folder / "pairs.csv").write_text("\n".join(rows))
    return folder / "pairs.csv"


PAIR_COLUMNS = {Modality.TEXT: "caption", Modality.IMAGE: "picture"}


def test_a_table_of_pairs_aligns_two_modalities_and_is_measured_both_ways(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base", Modality.IMAGE, Modality.TEXT)
    table = PairedTable(write_pairs(tmp_path), PAIR_COLUMNS, tmp_path, split="part")
    data = load_pairs(table, base)
    assert len(data.streams[Modality.TEXT].test.labels) == 8
    request = AlignRequest(data, base, tmp_path / "run", tmp_path / "out", dimensions=8, steps=60)
    result = align(request, Console(quiet=True))
    assert {(row.asked, row.found) for row in result.recalls} == {
        ("text", "image"), ("image", "text"),
    }  # fmt: skip
    assert all(set(row.recall) == {1, 5} for row in result.recalls)
    heads = {head.route: head for head in read_checkpoint(tmp_path / "out").heads}
    assert set(heads) == {"text/retrieval", "image/retrieval"}


def test_captions_of_one_picture_are_one_thing(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base", Modality.IMAGE, Modality.TEXT)
    path = write_pairs(tmp_path)
    path.write_text(path.read_text() + "\nanother caption,0.png,train")
    data = load_pairs(PairedTable(path, PAIR_COLUMNS, tmp_path, split="part"), base)
    texts, pictures = (data.streams[m].train.labels for m in (Modality.TEXT, Modality.IMAGE))
    assert len(texts) == len(pictures) + 1
    assert (texts == pictures[0]).sum() == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [("a text,none.png,train", r"pairs\.csv, row 25: none\.png: No such file"),
     ("a text,pairs.csv,train", r"pairs\.csv, row 25: "),
     (",0.png,train", "row 25: column 'caption' is empty"),
     ("a text,0.png,later", "the part is 'later'"),
     ("a text,0.png,test", "both in train and test")],
)  # fmt: skip
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, line: str, message: str) -> None:
    base = tiny_base(tmp_path / "base", Modality.IMAGE, Modality.TEXT)
    path = write_pairs(tmp_path)
    path.write_text(path.read_text() + "\n" + line)
    with pytest.raises(ArtifactError, match=message):
        load_pairs(PairedTable(path, PAIR_COLUMNS, tmp_path, split="part"), base)


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base", Modality.IMAGE, Modality.TEXT)
    columns = {Modality.TEXT: "captoin", Modality.IMAGE: "picture"}
    with pytest.raises(ArtifactError, match=r"'captoin'.*did you mean caption"):
        load_pairs(PairedTable(write_pairs(tmp_path), columns, tmp_path), base)
