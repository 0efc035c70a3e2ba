"""A real Chromium, headless, and what it must not do: fail silently, or call other hosts."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Request, Response, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")

# As root and without a GPU: WebGL in software. The rest keeps the browser from calling home.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

_OWN_SCHEMES = ("blob", "data")

ANSWER_MILLISECONDS = 30_000
"""Longest that an answer may take on a slow machine."""

MOST_BYTES = 115_000
"""Largest screenshot; photographs in one take more colours than fit."""

_COLOURS = (200, 128, 80, 48)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; the test fails if there is none, saying what to install."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("the try page is tested in Chromium: install it (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def wait_until(page: Page, expression: str, argument: Any = None) -> None:
    """Wait until JavaScript is true in a page.

    Not `wait_for_function`: after the first look it evaluates from within the page, which the
    page's content security policy forbids.
    """
    ends = time.monotonic() + ANSWER_MILLISECONDS / 1000
    while not page.evaluate(expression, argument):
        if time.monotonic() > ends:
            pytest.fail(f"still not true after {ANSWER_MILLISECONDS} ms: {expression}")
        page.wait_for_timeout(50)


class Visit:
    """The try page in a window of its own, and everything it did that it should not."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        size = {"width": 1000, "height": 700}
        self.context = browser.new_context(**{"viewport": size, **options})
        self.context.set_default_timeout(ANSWER_MILLISECONDS)
        self.page: Page = self.context.new_page()
        self.address = address
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.page.on("request", self._watch)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console",
            lambda message: self.errors.append(message.text) if message.type == "error" else None,
        )

    def open(self, route: str = "") -> Page:
        """Go to the page of a head; returns once an input of it is there, if any is."""
        self.page.goto(f"{self.address}/#{route}" if route else f"{self.address}/")
        self.page.wait_for_selector(".chooser a[aria-current]")
        return self.page

    def run(self) -> Response:
        """Press Run, and wait until what came is shown."""
        with self.page.expect_response("**/predict/**") as caught:
            self.page.click("button.run:enabled")
        self.page.wait_for_selector(".answer, .problem")
        return caught.value

    def upload(self, path: Path) -> None:
        """Choose a file, and wait until it is the input."""
        self.page.set_input_files(".upload input", path)
        self.page.wait_for_selector(f".drop code:text-is('{path.name}'), textarea, .form")

    def picture(self, path: Path) -> None:
        """Save what is seen as a small PNG."""
        self.page.mouse.move(0, 0)
        shot = Image.open(io.BytesIO(self.page.screenshot(full_page=True)))
        path.parent.mkdir(parents=True, exist_ok=True)
        for colours in _COLOURS:
            shot.convert("RGB").quantize(colours).save(path, optimize=True)
            if path.stat().st_size <= MOST_BYTES:
                return
        raise AssertionError(f"{path.name} has over {MOST_BYTES} bytes")

    def _watch(self, request: Request) -> None:
        if urlsplit(request.url).scheme not in _OWN_SCHEMES and not request.url.startswith(
            f"{self.address}/"
        ):
            self.foreign.append(request.url)
