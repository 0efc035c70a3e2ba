"""Files of the user on the page at /: shown where the browser can, and answered all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.browser import Visit, wait_until
from tests.support.documents import ROOT

DATA = ROOT / "tests" / "data"

SHOWN = {
    "image/detection": ["image/blood_smear.tiff", "image/blood_smear.webp"],
    "depth/action": ["depth/ball.png", "depth/ball_sequence.tiff"],
    "pointcloud/classification": [
        "pointcloud/table_ascii.ply",
        "pointcloud/table_ascii.pcd",
        "pointcloud/table_binary.pcd",
        "pointcloud/table.xyz",
        "pointcloud/table.npy",
        "pointcloud/table.json",
    ],
    "timeseries/forecast": ["timeseries/hourly.json"],
    "graph/solubility": [
        "graph/caffeine.mol",
        "graph/aspirin_v3000.mol",
        "graph/two_molecules.sdf",
    ],
    "xray/pneumonia": ["xray/chest_normal.dcm", "xray/chest_normal_16bit.png"],
    "infrared/objects": ["infrared/person_16bit.tiff"],
    "imu/activity": ["imu/walk.json"],
}

NOT_SHOWN = {
    "pointcloud/classification": ["pointcloud/table.laz"],
    "imu/activity": ["imu/walk.parquet"],
    "xray/pneumonia": ["xray/chest_pneumonia_monochrome1_jpeg2000.dcm"],
    "hyperspectral/landcover": ["hyperspectral/field.mat", "hyperspectral/field.tif"],
}


@pytest.mark.parametrize("route", SHOWN)
def test_files_that_a_browser_can_read_are_shown(visit: Visit, route: str) -> None:
    page = visit.open(route)
    for name in SHOWN[route]:
        visit.upload(DATA / name)
        page.wait_for_selector(
            ".pictures canvas, .shown .plot svg, .shown .plot canvas, .molecule svg"
        )
        assert page.locator(".file").count() == 0, name
    assert visit.run().status == 200


@pytest.mark.parametrize("route", NOT_SHOWN)
def test_other_files_are_named_and_answered_all_the_same(visit: Visit, route: str) -> None:
    page = visit.open(route)
    for name in NOT_SHOWN[route]:
        visit.upload(DATA / name)
        page.wait_for_selector(f".file:has-text('{Path(name).name}')")
    assert visit.run().status == 200


def test_a_file_can_be_dropped(visit: Visit) -> None:
    page = visit.open("text/sentiment")
    page.evaluate(
        """() => {
          const transfer = new DataTransfer();
          transfer.items.add(new File(["a dull film"], "mine.txt"));
          const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
          document.querySelector(".drop").dispatchEvent(new DragEvent("drop", options));
        }"""
    )
    wait_until(page, "() => document.querySelector('textarea').value === 'a dull film'")
    assert visit.run().json()[0][0]["label"] == "negative"
