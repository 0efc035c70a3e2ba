from __future__ import annotations

import gzip
import json
import re
import runpy
from pathlib import Path

import pytest
from fastapi import FastAPI

from omnivec2.spec import Modality
from service.http.routes.try_page import STATIC
from tests.support.documents import ROOT
from tests.support.requests.asgi import ask, run

PAGE = STATIC / "try"
SAMPLES = STATIC / "samples"
VENDOR = PAGE / "vendor"
OWN = [path for path in PAGE.rglob("*.js") if VENDOR not in path.parents]

PLOTLY = "vendor/plotly.js-gl3d-dist-min/plotly-gl3d.min.js"

_MEBIBYTE = 2**20


def _is_there(path: Path) -> bool:
    return path.is_file() or path.with_name(f"{path.name}.gz").is_file()


def _samples() -> list[dict[str, object]]:
    listed: list[dict[str, object]] = json.loads((SAMPLES / "index.json").read_text())["samples"]
    return listed


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/try/main.js", "text/javascript; charset=utf-8"),
        ("/try/style.css", "text/css; charset=utf-8"),
        ("/try/samples", "application/json"),
        ("/try/samples/cat.jpg", "image/jpeg"),
    ],
)
def test_the_page_its_parts_and_its_samples_are_served(path: str, media_type: str) -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, path, b"", "GET")
        assert reply.status == 200
        assert reply.headers["content-type"] == media_type
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "connect-src 'self';" in policy

    run(test)


def test_what_a_browser_has_already_is_not_sent_again() -> None:
    async def test(app: FastAPI) -> None:
        for path in ("/", f"/try/{PLOTLY}", "/try/samples"):
            first = await ask(app, path, b"", "GET")
            again = await ask(app, path, b"", "GET", If_None_Match=first.headers["etag"])
            assert first.headers["cache-control"] == "no-cache"
            assert (again.status, again.body) == (304, b"")
            assert "content-security-policy" in again.headers

    run(test)


def test_a_large_library_is_sent_compressed_to_whoever_takes_that() -> None:
    packed = (PAGE / f"{PLOTLY}.gz").read_bytes()

    async def test(app: FastAPI) -> None:
        taken = await ask(app, f"/try/{PLOTLY}", b"", "GET", Accept_Encoding="gzip, br")
        plain = await ask(app, f"/try/{PLOTLY}", b"", "GET")
        assert taken.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain.headers
        assert (taken.body, plain.body) == (packed, gzip.decompress(packed))
        for reply in (taken, plain):
            assert reply.status == 200
            assert reply.headers["content-type"] == "text/javascript; charset=utf-8"
            assert reply.headers["vary"] == "Accept-Encoding"
            assert "content-security-policy" in reply.headers

    run(test)


@pytest.mark.parametrize(
    "path",
    ["/try", "/try/nothing", "/try/../app.py", "/try/samples/../try/main.js", "/try/samples/"],
)
def test_nothing_else_is_served(path: str) -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, path, b"", "GET")
        assert reply.status == 404
        assert reply.headers["content-type"] == "application/problem+json"

    run(test)


def test_files_are_only_read() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, "/try/main.js", b"", "PUT")
        assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")

    run(test)


@pytest.mark.parametrize(
    ("path", "status"),
    # Clients of text-embeddings-inference post to /.
    [("/", 405), ("/try/main.js", 404), ("/try/samples", 404)],
)
def test_it_can_be_turned_off(path: str, status: int) -> None:
    async def test(app: FastAPI) -> None:
        assert (await ask(app, path, b"", "GET")).status == status

    run(test, try_page=False)


@pytest.mark.parametrize("path", ["/models", "/docs", "/healthz", "/v2", "/metrics"])
def test_it_hides_no_other_path(path: str) -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, path, b"", "GET")
        assert reply.status == 200
        assert b"try/main.js" not in reply.body

    run(test)


def test_the_page_has_no_script_and_no_handler_of_its_own() -> None:
    text = (PAGE / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\ssrc=)", text) == []
    assert re.findall(r"\son\w+=", text) == []
    for file in re.findall(r'(?:src|href)="(try/[^"]+)"', text):
        assert (STATIC / file).is_file(), file


def test_every_module_that_is_imported_is_there() -> None:
    for path in OWN:
        text = path.read_text()
        targets = re.findall(r'from "([^"]+)"|import\("([^"]+)"\)', text)
        for target in (one or other for one, other in targets):
            assert _is_there((path.parent / target).resolve()), f"{path.name}: {target}"
        for target in re.findall(r'script\("([^"]+)"\)', text):
            assert _is_there(VENDOR / target), f"{path.name}: {target}"


def test_no_module_names_another_host() -> None:
    named = [path.name for path in OWN if re.search(r"https?://", path.read_text())]
    assert named == []


def test_every_modality_has_a_sample() -> None:
    assert {sample["modality"] for sample in _samples()} == {one.value for one in Modality}


def test_every_sample_is_there_and_its_licence_is_named() -> None:
    files = {sample["file"] for sample in _samples()}
    readme = (SAMPLES / "README.md").read_text()
    assert [name for name in files if f"`{name}`" not in readme] == []
    there = {path.name for path in SAMPLES.iterdir()}
    assert there == files | {"index.json", "README.md"}
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) < _MEBIBYTE


def test_libraries_are_as_their_packages_have_them() -> None:
    vendor = runpy.run_path(str(ROOT / "service/static/vendor_libraries.py"))
    assert vendor["altered"]() == []


def test_libraries_are_locked_licensed_and_small() -> None:
    locked = json.loads((ROOT / "service/static/package-lock.json").read_text())["packages"]
    notice = (ROOT / "NOTICE").read_text()
    for entry in json.loads((VENDOR / "manifest.json").read_text()):
        package = entry["package"]
        assert locked[f"node_modules/{package}"]["version"] == entry["version"]
        assert locked[f"node_modules/{package}"]["integrity"]
        assert f"{package} " in notice
        assert any("LICENSE" in name for name in entry["files"])
    size = sum(path.stat().st_size for path in VENDOR.rglob("*") if path.is_file())
    assert size < 1.5 * _MEBIBYTE


def test_there_is_a_small_screenshot_of_every_modality() -> None:
    pictures = list((ROOT / "docs" / "screenshots").glob("*.png"))
    assert {one.value for one in Modality} <= {path.stem.partition("_")[0] for path in pictures}
    text = (ROOT / "docs" / "try-page.md").read_text()
    assert [path.name for path in pictures if f"screenshots/{path.name}" not in text] == []
    assert max(path.stat().st_size for path in pictures) < 120_000
    assert sum(path.stat().st_size for path in pictures) < 1_500_000
