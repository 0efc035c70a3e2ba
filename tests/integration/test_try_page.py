"""The page at / in a real browser, against the network that ships."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, Route

from omnivec2.spec import Modality
from tests.support.browser import Visit, fulfil_problem, wait_until
from tests.support.documents import ROOT

DATA = ROOT / "tests" / "data"
SCREENSHOTS = ROOT / "docs" / "screenshots"
UPDATE = bool(os.environ.get("OMNIVEC2_UPDATE_SCREENSHOTS"))

# Whether a canvas shows more than one colour.
_PAINTED = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size > 1;
}"""

_ALL_PAINTED = f"""([selector, count]) => {{
  const found = [...document.querySelectorAll(selector)];
  return found.length === count && found.every({_PAINTED});
}}"""


def _wait_painted(page: Page, selector: str, count: int = 1) -> None:
    """Wait until there are as many canvases, and something is drawn on each."""
    wait_until(page, _ALL_PAINTED, [selector, count])


# --- what is drawn of an answer, by family ------------------------------------------------


def _bars(page: Page, answer: Any) -> None:
    row = answer[0] if isinstance(answer[0], list) else answer
    assert page.locator(".bars .label").all_inner_texts() == [entry["label"] for entry in row]
    widths = page.locator(".bars .bar > span").evaluate_all(
        "all => all.map(s => parseFloat(s.style.width))"
    )
    assert widths == pytest.approx([100 * entry["score"] for entry in row], abs=0.06)


def _rows(page: Page, answer: Any) -> None:
    labels = page.locator(".rows td strong").all_inner_texts()
    assert labels == [row[0]["label"] for row in answer]


def _boxes(page: Page, answer: Any) -> None:
    assert answer
    assert page.locator(".boxes rect").count() == len(answer)
    first = page.locator(".boxes rect").first
    assert float(first.get_attribute("x") or "") == pytest.approx(answer[0]["box"]["xmin"])
    _wait_painted(page, ".stack canvas")


def _masks(page: Page, answer: Any) -> None:
    page.wait_for_selector(f'.masks[data-drawn="{len(answer)}"]')
    assert page.locator(".masks").evaluate(_PAINTED) or len(answer) == 1
    legend = " ".join(page.locator(".answer .legend li").all_inner_texts())
    assert all(region["label"] in legend for region in answer)


def _value(page: Page, answer: Any) -> None:
    shown = float(page.locator(".values strong").inner_text())
    assert shown == pytest.approx(answer[0]["value"], rel=1e-3)
    assert answer[0]["unit"] in page.locator(".values").inner_text()


def _forecast(page: Page, answer: Any) -> None:
    for index, prediction in enumerate(answer["predictions"]):
        traces = _traces(page, f".answer .plot >> nth={index}")
        assert [trace["name"] for trace in traces] == ["history", "forecast"]
        assert traces[1]["length"] == len(prediction["mean"])


def _summary(page: Page, answer: Any) -> None:
    assert answer[0]["summary_text"]
    assert page.locator("blockquote").inner_text() == answer[0]["summary_text"]


def _vector(page: Page, answer: Any) -> None:
    _wait_painted(page, ".strip-map")
    assert page.locator(".values strong").first.inner_text() == str(len(answer[0]))


def _traces(page: Page, selector: str) -> list[dict[str, Any]]:
    """Name, kind and number of values of what Plotly has drawn."""
    plot = page.wait_for_selector(selector)
    wait_until(page, "plot => !!plot.querySelector('.main-svg, canvas')", plot)
    traces: list[dict[str, Any]] = page.locator(selector).evaluate(
        "p => p.data.map(t => ({name: t.name, type: t.type, length: t.y.length}))"
    )
    return traces


# --- what is drawn of an input, by modality -----------------------------------------------


def _canvases(count: int) -> Callable[[Page], None]:
    def check(page: Page) -> None:
        _wait_painted(page, ".pictures canvas", count)

    return check


def _player(page: Page) -> None:
    wait_until(page, "() => document.querySelector('video').readyState === 4")


def _wave(page: Page) -> None:
    _wait_painted(page, ".wave")
    assert page.locator("audio").count() == 1


def _typed(page: Page) -> None:
    assert all(area.input_value() for area in page.locator("textarea").all())


def _cloud(page: Page) -> None:
    (trace,) = _traces(page, ".shown .plot")
    assert (trace["type"], trace["length"]) == ("scatter3d", 1540)


def _lines(names: int) -> Callable[[Page], None]:
    def check(page: Page) -> None:
        assert len(_traces(page, ".shown .plot")) == names

    return check


def _table(page: Page) -> None:
    assert page.locator(".shown tbody tr").count() == 8


def _molecule(page: Page) -> None:
    assert page.locator(".molecule svg line").count() > 10


INPUTS: dict[Modality, Callable[[Page], None]] = {
    Modality.IMAGE: _canvases(1),
    Modality.VIDEO: _player,
    Modality.AUDIO: _wave,
    Modality.TEXT: _typed,
    Modality.DEPTH: _canvases(4),
    Modality.POINTCLOUD: _cloud,
    Modality.TIMESERIES: _lines(2),
    Modality.TABULAR: _table,
    Modality.GRAPH: _molecule,
    Modality.XRAY: _canvases(1),
    Modality.INFRARED: _canvases(1),
    Modality.IMU: _lines(9),
    Modality.HYPERSPECTRAL: _canvases(1),
}

HEADS: dict[str, Callable[[Page, Any], None]] = {
    "image/classification": _bars,
    "image/detection": _boxes,
    "image/segmentation": _masks,
    "video/action": _bars,
    "audio/events": _bars,
    "text/sentiment": _bars,
    "text/paraphrase": _bars,
    "text/entailment": _bars,
    "text/summarization": _summary,
    "text/embedding": _vector,
    "depth/action": _bars,
    "pointcloud/classification": _bars,
    "timeseries/forecast": _forecast,
    "tabular/income": _rows,
    "graph/solubility": _value,
    "xray/pneumonia": _bars,
    "infrared/objects": _bars,
    "imu/activity": _bars,
    "hyperspectral/landcover": _masks,
}


@pytest.mark.parametrize("route", HEADS)
def test_a_sample_is_shown_and_its_answer_drawn(visit: Visit, tmp_path: Path, route: str) -> None:
    page = visit.open()
    modality, task = route.split("/")
    page.click(f"nav[aria-label=Modality] a:text-is('{modality}')")
    page.click(f"nav[aria-label=Task] a:text-is('{task}')")
    page.locator(".sample").first.click()
    page.wait_for_selector(".sample[aria-pressed=true]")
    page.wait_for_selector(".shown > *, textarea")
    INPUTS[Modality(modality)](page)
    response = visit.run()
    assert response.status == 200
    assert response.request.url.endswith(f"/predict/{route}")
    HEADS[route](page, response.json())
    stages = page.locator("#time-title ~ .legend li").all_inner_texts()
    assert [stage.split()[0] for stage in stages[:2]] == ["decode", "preprocess"]
    folder = SCREENSHOTS if UPDATE else tmp_path
    visit.picture(folder / f"{modality}_{task}.png")


def test_every_modality_is_among_them() -> None:
    assert {route.split("/")[0] for route in HEADS} == set(Modality) == set(INPUTS)


def _labelled_cloud(page: Page) -> None:
    traces = _traces(page, ".answer .plot")
    assert [(trace["name"], trace["length"]) for trace in traces] == [("seat", 770), ("leg", 770)]


def _quantiles(page: Page) -> None:
    traces = _traces(page, ".answer .plot")
    assert [trace["name"] for trace in traces] == ["history", "0.1", "0.1 to 0.9", "forecast"]


def _json(page: Page) -> None:
    assert '"anything": 1' in page.locator(".answer > pre").inner_text()


_FORECAST = {"target": "load", "mean": [3, 4], "quantiles": {"0.1": [1, 2], "0.9": [5, 6]}}


@pytest.mark.parametrize(
    ("route", "family", "answer", "check"),
    [
        (
            "pointcloud/classification",
            "segmentation",
            {"labels": [0, 1] * 770, "names": ["seat", "leg"]},
            _labelled_cloud,
        ),
        ("timeseries/forecast", "forecasting", {"predictions": [_FORECAST]}, _quantiles),
        ("text/sentiment", "oracle", {"anything": 1}, _json),
    ],
    ids=["labelled points", "quantiles", "unknown family"],
)
def test_answers_that_no_shipped_head_gives_are_drawn_too(
    visit: Visit, route: str, family: str, answer: Any, check: Callable[[Page], None]
) -> None:
    def other_family(listing: Route) -> None:
        body = listing.fetch().json()
        for model in body["models"]:
            if model["predict"] == f"/predict/{route}":
                model["family"] = family
        listing.fulfill(json=body)

    visit.page.route("**/models", other_family)
    visit.page.route("**/predict/**", lambda request: request.fulfill(json=answer))
    page = visit.open(route)
    visit.run()
    check(page)


# --- files of the user ---------------------------------------------------------------------

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


def test_a_form_asks_about_one_row(visit: Visit) -> None:
    page = visit.open("tabular/marketing")
    page.click("text=Fill in a form instead")
    page.fill(".form label:has-text('duration') input", "1800")
    page.select_option(".form label:has-text('poutcome') select", "success")
    answer = visit.run().json()
    assert len(answer) == 1
    _bars(page, answer)


def test_two_embeddings_are_compared(visit: Visit) -> None:
    page = visit.open("text/embedding")
    visit.run()
    visit.run()
    assert "cosine" in page.locator(".values").inner_text()
    assert page.locator(".values strong").last.inner_text() == "1.000"


def test_masks_can_be_hidden(visit: Visit) -> None:
    page = visit.open("image/segmentation")
    visit.run()
    page.wait_for_selector(".masks[data-drawn]")
    for box in page.locator(".answer .legend input").all():
        box.uncheck()
    wait_until(page, f"() => !({_PAINTED})(document.querySelector('.masks'))")


# --- the same from a terminal -------------------------------------------------------------


@pytest.mark.parametrize("route", ["image/detection", "text/paraphrase", "graph/solubility"])
def test_the_curl_line_does_the_same(visit: Visit, tmp_path: Path, route: str) -> None:
    page = visit.open(route)
    page.wait_for_selector(".sample[aria-pressed=true]")
    answer = visit.run().json()
    lines = page.locator(".curl").inner_text()
    done = subprocess.run(
        ["bash", "-ec", lines], cwd=tmp_path, capture_output=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == answer


def test_notes_on_the_input_stand_above_the_answer(visit: Visit) -> None:
    page = visit.open("text/sentiment")
    assert "English" in (page.locator(".expects li").first.text_content() or "")
    page.fill("textarea", "A good film — “really”. " * 200)
    answer = visit.run()
    assert answer.headers["x-notes"].startswith("cut;")
    notes = page.locator(".notes li").all_inner_texts()
    assert len(notes) == 1
    assert "cut" in notes[0]
    assert "tokens" in notes[0]
    page.fill("textarea", "A good film.")
    visit.run()
    assert page.locator(".notes").count() == 0


# --- when there is no answer --------------------------------------------------------------


def test_a_wrong_file_shows_what_was_expected(visit: Visit) -> None:
    page = visit.open("image/classification")
    file = DATA / "audio" / "dog_bark.wav"
    visit.upload(file)
    assert visit.run().status == 422
    same = requests.post(f"{visit.address}/predict/image/classification", file.read_bytes())
    assert same.json()["detail"] in page.locator(".problem").inner_text()
    visit.expect_status(422)


def test_a_service_with_keys_is_given_one(visit: Visit) -> None:
    page = visit.open("text/sentiment")

    def guard(route: Route) -> None:
        if route.request.headers.get("authorization") == "Bearer correct":
            route.continue_()
        else:
            fulfil_problem(route, 401, "Unauthorized", "this service asks for an API key")

    page.route("**/predict/**", guard)
    assert visit.run().status == 401
    assert "API key" in page.locator(".problem").inner_text()
    page.fill(".key input", "correct")
    page.click("text=Use the key")
    page.wait_for_selector(".bars")
    assert "Authorization: Bearer $OMNIVEC2_API_KEY" in page.locator(".curl").inner_text()
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 1]
    assert page.context.cookies() == []
    visit.expect_status(401)


def test_a_service_that_lists_no_models_without_a_key_asks_first(visit: Visit) -> None:
    def guard(route: Route) -> None:
        if route.request.headers.get("authorization") == "Bearer correct":
            route.continue_()
        else:
            fulfil_problem(route, 401, "Unauthorized", "this service asks for an API key")

    page = visit.page
    page.route("**/models", guard)
    page.goto(visit.address)
    page.fill(".key input", "wrong")
    page.click("text=Use the key")
    page.wait_for_selector(".problem")
    page.fill(".key input", "correct")
    page.click("text=Use the key")
    page.wait_for_selector("button.run:enabled")
    page.click("text=Forget the API key")
    assert page.evaluate("sessionStorage.length") == 0
    visit.expect_status(401)


def test_an_overloaded_service_says_when_to_come_back(visit: Visit) -> None:
    page = visit.open("text/sentiment")
    page.route(
        "**/predict/**",
        lambda route: fulfil_problem(
            route, 429, "Overloaded", "too many requests", **{"Retry-After": "7"}
        ),
    )
    visit.run()
    assert "Try again in 7 s" in page.locator(".problem").inner_text()
    visit.expect_status(429)


def test_a_page_opened_before_the_models_are_loaded_waits_for_them(visit: Visit) -> None:
    listings = []

    def later(route: Route) -> None:
        listings.append(route.request.url)
        if len(listings) == 1:
            route.fulfill(json={"models": [], "refused": []})
        else:
            route.continue_()

    visit.page.route("**/models", later)
    visit.page.goto(visit.address)
    visit.page.wait_for_selector(".waiting:has-text('still loading')")
    visit.page.wait_for_selector("button.run:enabled")
    assert len(listings) == 2


# --- accessibility and small screens ------------------------------------------------------


def _tab_to(page: Page, name: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == name:
            return
    raise AssertionError(f"{name!r} is not reached with the Tab key")


def test_it_works_with_the_keyboard_alone(visit: Visit) -> None:
    page = visit.open()
    _tab_to(page, "text")
    page.keyboard.press("Enter")
    page.wait_for_selector("textarea")
    _tab_to(page, "Run")
    page.keyboard.press("Enter")
    page.wait_for_selector(".bars")


def test_everything_that_can_be_operated_has_a_name(visit: Visit) -> None:
    page = visit.open("image/segmentation")
    visit.run()
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("input, select, textarea, button, a, [role=img]")]
          .filter(e => !(e.labels?.length || e.ariaLabel || e.textContent.trim() || e.title))
          .map(e => e.outerHTML)"""
    )
    assert unnamed == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(
    browser: Browser, reference_server: str, tmp_path: Path, scheme: Any
) -> None:
    phone = Visit(
        browser, reference_server, viewport={"width": 390, "height": 844}, color_scheme=scheme
    )
    for route in ("image/detection", "tabular/income", "timeseries/forecast"):
        page = phone.open(route)
        page.wait_for_selector(".sample[aria-pressed=true]")
        phone.run()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, route
    phone.picture((SCREENSHOTS if UPDATE else tmp_path) / f"phone_{scheme}.png")
    phone.context.close()
    assert phone.errors == phone.foreign == []
