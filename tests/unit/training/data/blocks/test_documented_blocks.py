"""Every recipe of docs/data.md, on data made here in the form that it states."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import yaml
from PIL import Image
from pyarrow import parquet
from rdkit import Chem

from omnivec2.training.data import load_task
from omnivec2.training.data.blocks.kinds import AnyBlock
from omnivec2.training.recipe import load_recipe
from tests.support.data_sets import own_data
from tests.support.data_sets.broken_data import pictures

PAGE = Path(__file__).parents[5] / "docs/data.md"
RECIPES = [
    text for text in re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    if "tasks:" in text
]  # fmt: skip
ROUTES = [(index, route) for index, text in enumerate(RECIPES)
          for route in yaml.safe_load(text)["tasks"]]  # fmt: skip


def _pets(root: Path) -> None:
    pictures(root / "pets", count=10)


def _animals(root: Path) -> None:
    pictures(root / "animals/first", count=20)
    pictures(root / "animals/second", count=3)


def _tones(root: Path) -> None:
    times = np.arange(16_000) / 16_000
    for name, pitch in (("low", 200), ("high", 2000)):
        (root / "tones" / name).mkdir(parents=True)
        for number in range(8):
            sound = 0.3 * np.sin(2 * np.pi * (pitch + number) * times)
            path = root / "tones" / name / f"{1 + number % 4}-{number}.wav"
            soundfile.write(path, sound, 16_000)


def _moves(root: Path) -> None:
    for name in ("up", "down"):
        (root / "moves" / name).mkdir(parents=True)
        for number in range(10):
            frames = [Image.new("RGB", (32, 32), (number, step, 9)) for step in range(4)]
            path = root / "moves" / name / f"{number}.gif"
            frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)


def _customers(root: Path) -> None:
    rows = [
        f"{n},{20 + n},{10115 + n % 3},{('rent', 'own', '?')[n % 3]},{('no', 'yes')[n % 2]}"
        for n in range(60)
    ]
    text = "\n".join(["customer_id,age,postcode,home,churned", *rows])
    (root / "customers.csv").write_text(text)


def _articles(root: Path) -> None:
    rows = [{"text": f"text {n}", "topics": ["sea", "snow"][: n % 3]} for n in range(40)]
    (root / "articles.jsonl").write_text("\n".join(map(json.dumps, rows)))


def _pairs(root: Path) -> None:
    (root / "pairs.csv").write_text("\n".join(f"text {n},other {n},{n % 2}" for n in range(40)))


def _molecules(root: Path) -> None:
    smiles = ["C" * (1 + n % 18) + "O" for n in range(40)]
    columns = {"smiles": smiles, "boiling_point": [300.0 + n % 18 for n in range(40)]}
    parquet.write_table(pa.table(columns), root / "molecules.parquet")


def _gestures(root: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        f"{record},{step / 50},{rng.normal():.3f},{rng.normal():.3f},{('nod', 'wave')[record % 2]}"
        for record in range(20)
        for step in range(64)
    ]
    (root / "gestures.csv").write_text("\n".join(["id,time,acc_x,acc_y,gesture", *rows]))


def _sdf(root: Path) -> None:
    writer = Chem.SDWriter(str(root / "molecules.sdf"))
    for number in range(20):
        molecule = Chem.MolFromSmiles("C" * (1 + number) + "N")
        molecule.SetProp("logP", str(number / 4))
        writer.write(molecule)
    writer.close()


def _png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 12), (shade, shade, shade)).save(file, "PNG")
    return file.getvalue()


def _shards(root: Path) -> None:
    (root / "shards/train").mkdir(parents=True)
    with tarfile.open(root / "shards/train/000000.tar", "w") as tar:
        for number in range(30):
            for ending, content in (("png", _png(number)), ("cls", b"%d" % (number % 2))):
                member = tarfile.TarInfo(f"{number:04}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _insects(root: Path) -> None:
    (root / "insects").mkdir()
    feature = {"label": {"names": ["ant", "bee"], "_type": "ClassLabel"}}
    (root / "insects/dataset_info.json").write_text(json.dumps({"features": feature}))
    cells = [{"bytes": _png(n), "path": None} for n in range(30)]
    rows = pa.table({"image": cells, "label": [n % 2 for n in range(30)]})
    with pa.ipc.new_stream(str(root / "insects/data-00000.arrow"), rows.schema) as writer:
        writer.write_table(rows)


def _digits(root: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (40, 28, 28), dtype=np.uint8)
    np.savez(root / "digits.npz", x=images, y=np.arange(40) % 4)


def _rooms(root: Path) -> None:
    rng = np.random.default_rng(0)
    for place in ("images", "depth"):
        (root / "rooms" / place).mkdir(parents=True)
    for number in range(20):
        pixels = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"rooms/images/{number}.png")
        depth = rng.integers(500, 4000, (48, 64)).astype(np.uint16)
        Image.fromarray(depth).save(root / f"rooms/depth/{number}.png")


MAKERS: dict[str, Callable[[Path], None]] = {
    "image/pets": _pets,
    "image/animals": _animals,
    "audio/tones": _tones,
    "video/moves": _moves,
    "tabular/churn": _customers,
    "text/topics": _articles,
    "text/same": _pairs,
    "graph/boiling": _molecules,
    "imu/gestures": _gestures,
    "graph/logp": _sdf,
    "image/many": _shards,
    "image/insects": _insects,
    "image/fruit": lambda root: own_data.coco(root / "coco"),
    "image/fruit_yolo": lambda root: own_data.yolo(root / "yolo"),
    "image/scenes": lambda root: own_data.masks(root / "scenes"),
    "image/depth": _rooms,
    "pointcloud/parts": lambda root: own_data.points(root / "clouds"),
    "timeseries/load": own_data.wide,
    "timeseries/sales": own_data.long,
    "image/digits": _digits,
}


@pytest.mark.parametrize(("number", "route"), ROUTES, ids=[route for _, route in ROUTES])
def test_a_recipe_of_the_page_reads_data_in_the_form_it_states(tmp_path, number, route):
    (tmp_path / "recipe.yaml").write_text(RECIPES[number])
    root = tmp_path / "data"
    if route not in ("timeseries/load", "timeseries/sales"):
        root.mkdir()
    MAKERS[route](root)
    block = load_recipe(tmp_path / "recipe.yaml").tasks[route].block
    task = load_task(route, root, cache=tmp_path / "cache", block=block)
    assert task.route == route
    assert all(len(split) for split in task.splits.values())
    for split in task.splits.values():
        assert split.samples[0]
        assert split.targets[0] is not None


def test_every_kind_is_on_the_page():
    union, _ = get_args(AnyBlock)
    kinds = {block.model_fields["kind"].default for block in get_args(union)}
    text = PAGE.read_text()
    assert [kind for kind in kinds if f"`{kind}`" not in text] == []
