"""The try page in a headless Chromium, which must neither log errors nor call other hosts."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Request,
    Response,
    Route,
    sync_playwright,
)

from tests.support.documents import ROOT

SCREENSHOTS = ROOT / "docs" / "screenshots"
UPDATE = bool(os.environ.get("OMNIVEC2_UPDATE_SCREENSHOTS"))
"""Whether the screenshots in the documents are to be made anew."""

_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

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
"""The longest that an answer may take on a slow machine."""

SETTLE_MILLISECONDS = 300
"""The time that the page gets to act on an answer which it should ignore."""

MOST_BYTES = 115_000
"""The size of the largest screenshot; one with photographs is saved with fewer colours."""

_COLOURS = (200, 128, 80, 48)

# Whether a canvas shows more than one colour.
PAINTED = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size > 1;
}"""

_ALL_PAINTED = f"""([selector, count]) => {{
  const found = [...document.querySelectorAll(selector)];
  return found.length === count && found.every({PAINTED});
}}"""

_TRACES = """plot => plot.data && plot.querySelector('.main-svg, canvas')
  ? plot.data.map(t => ({name: t.name, type: t.type, length: t.y.length})) : null"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser; if there is none, fail the test and name what to install."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("the try page is tested in Chromium: install it (make install-system)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def wait_until(page: Page, expression: str, argument: Any = None) -> None:
    """Wait until a JavaScript expression is true in a page.

    Playwright's `wait_for_function` cannot be used: it evaluates within the page, which the page's
    content security policy forbids.
    """
    ends = time.monotonic() + ANSWER_MILLISECONDS / 1000
    while not page.evaluate(expression, argument):
        if time.monotonic() > ends:
            pytest.fail(f"still not true after {ANSWER_MILLISECONDS} ms: {expression}")
        page.wait_for_timeout(50)


def wait_painted(page: Page, selector: str, count: int = 1) -> None:
    """Wait until there are as many canvases, and something is drawn on each."""
    wait_until(page, _ALL_PAINTED, [selector, count])


def plot_traces(page: Page, selector: str) -> list[dict[str, Any]]:
    """Name, kind and number of values of what Plotly has drawn.

    The plot is looked up again and again: one that is found first may give way to another, as that
    of an input that is chosen a second time.
    """
    plot = page.locator(selector)
    ends = time.monotonic() + ANSWER_MILLISECONDS / 1000
    while (traces := plot.evaluate(_TRACES)) is None:
        if time.monotonic() > ends:
            pytest.fail(f"not drawn after {ANSWER_MILLISECONDS} ms: {selector}")
        page.wait_for_timeout(50)
    drawn: list[dict[str, Any]] = traces
    return drawn


def fulfil_problem(route: Route, status: int, title: str, detail: str, **headers: str) -> None:
    """Answer an intercepted request with a problem document."""
    body = json.dumps({"title": title, "status": status, "detail": detail, "error": detail})
    route.fulfill(
        status=status, headers=headers, content_type="application/problem+json", body=body
    )


def answer_in(page: Page, response: Response) -> Any:
    """Return the answer in a response: its JSON, or, of a stream, the raw answer on the page.

    Chromium does not keep the body of a stream for those who watch it.
    """
    if not response.headers["content-type"].startswith("text/event-stream"):
        return response.json()
    return json.loads(page.locator(".answer .raw code").text_content() or "")


class HeldRequests:
    """Requests of a page that are held back until the test lets them go.

    Attributes:
        routes: The requests that are held back, in the order of their arrival.
    """

    def __init__(self, page: Page, pattern: str, bearer: str | None = None) -> None:
        """Hold back the requests that match a pattern, of one API key only if that is given."""
        self.routes: list[Route] = []
        self._page = page
        self._header = None if bearer is None else f"Bearer {bearer}"
        page.route(pattern, self._hold)

    def wait(self, count: int = 1) -> None:
        """Wait until as many requests are held back."""
        ends = time.monotonic() + ANSWER_MILLISECONDS / 1000
        while len(self.routes) < count:
            if time.monotonic() > ends:
                pytest.fail(f"{len(self.routes)} requests were sent, not {count}")
            self._page.wait_for_timeout(20)

    def let_go(self, act: Callable[[Route], None] = Route.continue_) -> None:
        """Answer the oldest request, and wait until the page has had time to act on it."""
        route = self.routes.pop(0)
        with self._page.expect_event("requestfinished", lambda done: done == route.request):
            act(route)
        self._page.wait_for_timeout(SETTLE_MILLISECONDS)

    def _hold(self, route: Route) -> None:
        if self._header is None or route.request.headers.get("authorization") == self._header:
            self.routes.append(route)
        else:
            route.fallback()


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """A browser without history, whose cache its windows share."""
    size = {"width": 1000, "height": 700}
    context = browser.new_context(**{"viewport": size, **options})
    context.set_default_timeout(ANSWER_MILLISECONDS)
    return context


class Visit:
    """The try page in a window of its own, with a record of its errors and of foreign requests.

    What the page keeps, it keeps for a window: nothing of an earlier one is left.
    """

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.context = context
        self.page: Page = context.new_page()
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
        """Go to the page of a head, and wait until its name is marked as chosen."""
        self.page.goto(f"{self.address}/#{route}" if route else f"{self.address}/")
        self.page.wait_for_selector(".chooser a[aria-current]")
        return self.page

    def run(self) -> Response:
        """Press Run, and wait until the answer or the problem is shown."""
        with self.page.expect_response("**/predict/**") as caught:
            self.page.click("button.run:enabled")
        self.page.wait_for_selector(".answer, .problem")
        return caught.value

    def upload(self, path: Path) -> None:
        """Choose a file, and wait until it is the input."""
        self.page.set_input_files(".upload input", path)
        self.page.wait_for_selector(f".drop code:text-is('{path.name}'), textarea, .form")

    def expect_status(self, status: int) -> None:
        """Drop the errors of an expected status: Chromium logs every failed request as an error."""
        self.errors[:] = [error for error in self.errors if f"status of {status}" not in error]

    def update_screenshot(self, name: str) -> None:
        """Save what is seen as a small PNG of the documents, if those are to be made anew."""
        if not UPDATE:
            return
        path = SCREENSHOTS / name
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
