"""`omnivec2 push` and `pull` against an S3 server and the hub's API, as commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from omnivec2.checkpoint import read_checkpoint
from tests.support.checkpoints.shared_checkpoints import WEIGHTS, same_files, small_checkpoint
from tests.support.documents import ROOT
from tests.support.outside_services.hub_stub import Hub, running_hub
from tests.support.outside_services.s3_server import running_s3


def run(
    *arguments: object, environment: Mapping[str, str], succeeds: bool = True
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "omnivec2_cli.main", *map(str, arguments)],
        env={**os.environ, "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode == 0) is succeeds, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that names a running S3 server with the bucket ``models``."""
    with running_s3("models", tmp_path_factory.mktemp("s3") / "log") as environment:
        yield environment


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as running:
        yield running


def of_hub(hub: Hub) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_testing", "HF_HUB_DISABLE_TELEMETRY": "1"}


def test_a_checkpoint_goes_through_s3_and_comes_back_the_same(
    s3: dict[str, str], tmp_path: Path
) -> None:
    mine, here = small_checkpoint(tmp_path / "mine", rows=20_000), tmp_path / "here"
    first = run("push", mine, "s3://models/mine", environment=s3)
    assert "6 files" in first.stdout
    assert "sent 6, 0 were there" in first.stdout
    assert "MiB of weights.safetensors" in first.stderr
    assert "sent 0, 6 were there" in run("push", mine, "s3://models/mine", environment=s3).stdout
    pulled = run("pull", "s3://models/mine", here, environment=s3)
    assert "heads: image/detection, text/sentiment" in pulled.stdout
    assert same_files(mine, here)
    assert "0 files fetched" in run("pull", "s3://models/mine", here, environment=s3).stdout


def test_a_new_version_in_s3_removes_what_it_has_no_more(
    s3: dict[str, str], tmp_path: Path
) -> None:
    old = small_checkpoint(tmp_path / "old")
    run("push", old, "s3://models/next", environment=s3)
    new = small_checkpoint(tmp_path / "new")
    (new / "models" / "text_sentiment" / "model.onnx").unlink()
    assert "sent 0, 5 were there" in run("push", new, "s3://models/next", environment=s3).stdout
    run("pull", "s3://models/next", tmp_path / "here", environment=s3)
    files = {path.name for path in (tmp_path / "here").rglob("*") if path.is_file()}
    assert "model.onnx" not in files
    assert files == {"config.json", WEIGHTS, "head.json", "README.md", "manifest.json"}


def test_a_bucket_that_is_not_there_is_named(s3: dict[str, str], tmp_path: Path) -> None:
    failed = run("pull", "s3://nothing/here", tmp_path / "here", environment=s3, succeeds=False)
    assert failed.stderr.startswith("error: s3://nothing/here")
    assert "Traceback" not in failed.stderr


def test_a_checkpoint_goes_through_the_hub_in_one_commit(hub: Hub, tmp_path: Path) -> None:
    mine, here = small_checkpoint(tmp_path / "mine"), tmp_path / "here"
    pushed = run(
        *("push", mine, "hf://me/mine", "--license", "apache-2.0"), environment=of_hub(hub)
    )
    assert "sent 6" in pushed.stdout
    assert hub.commits == 1
    assert b"license: apache-2.0" in hub.files["me/mine"]["README.md"]
    assert hub.tokens == {"Bearer hf_testing"}
    assert read_checkpoint(mine).digest in hub.uploads
    run("pull", "hf://me/mine", here, environment=of_hub(hub))
    assert same_files(mine, here)
    options = ("--license", "apache-2.0")
    again = run("push", mine, "hf://me/mine", *options, environment=of_hub(hub))
    assert "sent 0, 6 were there" in again.stdout
    assert hub.commits == 1


def test_an_interrupted_download_from_the_hub_goes_on(hub: Hub, tmp_path: Path) -> None:
    mine = small_checkpoint(tmp_path / "mine")
    run("push", mine, "hf://me/mine", environment=of_hub(hub))
    hub.cut_after = 20_000
    failed = run("pull", "hf://me/mine", tmp_path / "here", environment=of_hub(hub), succeeds=False)
    assert re.match("error: .*weights", failed.stderr)
    assert not (tmp_path / "here").exists()
    hub.cut_after = None
    run("pull", "hf://me/mine", tmp_path / "here", environment=of_hub(hub))
    assert hub.ranges == ["bytes=20000-"]
    assert same_files(mine, tmp_path / "here")


def test_a_repository_that_is_no_checkpoint_is_refused(hub: Hub, tmp_path: Path) -> None:
    target = tmp_path / "here"
    failed = run("pull", "hf://me/other", target, environment=of_hub(hub), succeeds=False)
    assert "holds no manifest.json" in failed.stderr
    listed = '{"files": [{"path": "../../x.json", "bytes": 1, "sha256": "%s"}]}' % ("0" * 64)
    hub.files["me/bad"] = {"manifest.json": listed.encode()}
    failed = run("pull", "hf://me/bad", target, environment=of_hub(hub), succeeds=False)
    assert "no path inside of a checkpoint" in failed.stderr
    assert not target.exists()


def test_a_card_is_written_from_the_specs(tmp_path: Path) -> None:
    mine = small_checkpoint(tmp_path / "mine")
    run("card", mine, "--name", "Mine", "--out", mine / "README.md", environment={})
    text = (mine / "README.md").read_text()
    assert "# Mine" in text
    assert run("card", mine, "--name", "Mine", environment={}).stdout == text
