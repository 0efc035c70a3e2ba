"""The site of the documents: built strictly, complete, searchable, and without other hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browser import Visit, new_context
from tests.support.documents import ROOT

_FOREIGN = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"']?(https?:)?//(?!127\.0\.0\.1)"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning fails the build."""
    folder = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run(
        (sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder),
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The address of a server of the site."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    found = {page.name: _FOREIGN.findall(page.read_text()) for page in pages}
    assert {name: tags for name, tags in found.items() if tags} == {}
    styles = [style.read_text() for style in site.rglob("*.css")]
    assert styles
    assert not [style for style in styles if re.search(r"url\([\"']?(https?:)?//", style)]


def test_links_to_the_code_lead_to_pages_of_the_site(site: Path) -> None:
    training = (site / "training.html").read_text()
    assert 'href="source/omnivec2/training/recipe.py.html"' in training
    assert "class Recipe" in _text(site / "source" / "omnivec2" / "training" / "recipe.py.html")


def test_the_reference_has_the_docstrings_without_the_marks_of_another_markup(site: Path) -> None:
    pages = {path.stem: _text(path) for path in (site / "reference").glob("*.html")}
    assert "passes through the training parts of the tasks" in pages["recipes"]
    assert "OMNIVEC2_" in pages["settings"]
    assert "Run the remaining steps of all stages" in pages["training"]
    assert "--stop-after" in pages["command-line"]
    assert not [
        name for name, text in pages.items() if re.search(r":(class|data|func|meth):", text)
    ]


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_the_search_finds_a_page_and_asks_no_other_host(
    browser: Browser, site: Path, address: str, scheme: str
) -> None:
    start = address if scheme == "http" else site.as_uri()
    window = Visit(new_context(browser), start)
    try:
        window.page.goto(f"{start}/index.html")
        window.page.click(".md-search__input, .md-search__form")
        window.page.keyboard.type("hyperspectral scene", delay=10)
        window.page.wait_for_selector(".md-search-result__item a")
        found = window.page.eval_on_selector_all(
            ".md-search-result__item a", "links => links.map(link => link.href)"
        )
        assert any("adaptation.html" in link for link in found), found
        window.page.click(".md-search-result__item a >> nth=0")
        window.page.wait_for_selector("article h1")
        assert window.page.url.startswith(start)
        assert window.foreign == []
        assert window.errors == []
    finally:
        window.context.close()


def test_the_site_fits_a_phone_and_a_dark_room(browser: Browser, address: str) -> None:
    size = {"width": 390, "height": 800}
    phone = Visit(new_context(browser, viewport=size, color_scheme="dark"), address)
    try:
        for name in ("index", "http-api", "training", "reference/recipes"):
            phone.page.goto(f"{address}/{name}.html")
            width = phone.page.evaluate("document.documentElement.scrollWidth")
            assert width <= 390, f"{name} scrolls sideways"
            scheme = phone.page.get_attribute("body", "data-md-color-scheme")
            assert scheme == "slate"
        assert phone.foreign == []
    finally:
        phone.context.close()


def _text(page: Path) -> str:
    """The text of a page, without the source code below docstrings."""
    html = re.sub(
        r"<details class=\"mkdocstrings-source\".*?</details>", "", page.read_text(), flags=re.S
    )
    return re.sub(r"<[^>]+>", "", html)
