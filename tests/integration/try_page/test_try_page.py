"""The page at / in a real browser, against the network that ships."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from omnivec2.spec import Modality
from tests.support.browser import (
    PAINTED,
    Visit,
    answer_in,
    new_context,
    plot_traces,
    wait_painted,
    wait_until,
)
from tests.support.documents import ROOT

DATA = ROOT / "tests" / "data"

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
    wait_painted(page, ".stack canvas")


def _masks(page: Page, answer: Any) -> None:
    page.wait_for_selector(f'.masks[data-drawn="{len(answer)}"]')
    assert page.locator(".masks").evaluate(PAINTED) or len(answer) == 1
    legend = " ".join(page.locator(".answer .legend li").all_inner_texts())
    assert all(region["label"] in legend for region in answer)


def _value(page: Page, answer: Any) -> None:
    shown = float(page.locator(".values strong").inner_text())
    assert shown == pytest.approx(answer[0]["value"], rel=1e-3)
    assert answer[0]["unit"] in page.locator(".values").inner_text()


def _forecast(page: Page, answer: Any) -> None:
    for index, prediction in enumerate(answer["predictions"]):
        traces = plot_traces(page, f".answer .plot >> nth={index}")
        assert [trace["name"] for trace in traces] == ["history", "forecast"]
        assert traces[1]["length"] == len(prediction["mean"])


def _summary(page: Page, answer: Any) -> None:
    assert answer[0]["summary_text"]
    assert page.locator("blockquote").inner_text() == answer[0]["summary_text"]


def _vector(page: Page, answer: Any) -> None:
    wait_painted(page, ".strip-map")
    assert page.locator(".values strong").first.inner_text() == str(len(answer[0]))


# --- what is drawn of an input, by modality -----------------------------------------------


def _canvases(count: int) -> Callable[[Page], None]:
    def check(page: Page) -> None:
        wait_painted(page, ".pictures canvas", count)

    return check


def _player(page: Page) -> None:
    wait_until(page, "() => document.querySelector('video').readyState === 4")


def _wave(page: Page) -> None:
    wait_painted(page, ".wave")
    assert page.locator("audio").count() == 1


def _typed(page: Page) -> None:
    assert all(area.input_value() for area in page.locator("textarea").all())


def _cloud(page: Page) -> None:
    (trace,) = plot_traces(page, ".shown .plot")
    assert (trace["type"], trace["length"]) == ("scatter3d", 1540)


def _lines(names: int) -> Callable[[Page], None]:
    def check(page: Page) -> None:
        assert len(plot_traces(page, ".shown .plot")) == names

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
def test_a_sample_is_shown_and_its_answer_drawn(visit: Visit, route: str) -> None:
    page = visit.open()
    modality, task = route.split("/")
    page.click(f"nav[aria-label=Modality] a:text-is('{modality}')")
    # Other modalities have tasks of the same name.
    page.wait_for_selector(f"nav[aria-label=Modality] a[aria-current=true]:text-is('{modality}')")
    page.click(f"nav[aria-label=Task] a:text-is('{task}')")
    page.wait_for_selector(f"nav[aria-label=Task] a[aria-current=true]:text-is('{task}')")
    page.locator(".sample").first.click()
    page.wait_for_selector(".sample[aria-pressed=true]")
    page.wait_for_selector(".shown > *, textarea")
    INPUTS[Modality(modality)](page)
    response = visit.run()
    assert response.status == 200
    assert response.request.url.endswith(f"/predict/{route}")
    HEADS[route](page, answer_in(page, response))
    stages = page.locator("#time-title ~ .legend li").all_inner_texts()
    assert [stage.split()[0] for stage in stages[:2]] == ["decode", "preprocess"]
    visit.update_screenshot(f"{modality}_{task}.png")


def test_every_modality_is_among_them() -> None:
    assert {route.split("/")[0] for route in HEADS} == set(Modality) == set(INPUTS)


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
    wait_until(page, f"() => !({PAINTED})(document.querySelector('.masks'))")


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
def test_it_fits_a_phone(browser: Browser, reference_server: str, scheme: Any) -> None:
    size = {"width": 390, "height": 844}
    phone = Visit(new_context(browser, viewport=size, color_scheme=scheme), reference_server)
    for route in ("image/detection", "tabular/income", "timeseries/forecast"):
        page = phone.open(route)
        page.wait_for_selector(".sample[aria-pressed=true]")
        phone.run()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, route
    phone.update_screenshot(f"phone_{scheme}.png")
    phone.context.close()
    assert phone.errors == phone.foreign == []
