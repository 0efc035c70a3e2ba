"""Explanations on the page at /, in a real browser, drawn over the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.support.browser import Visit, plot_traces, wait_painted


def _cells(page: Page, explanation: Any) -> None:
    wait_painted(page, ".explanation .stack canvas")
    assert page.locator(".explanation .heat rect").count() == len(explanation["segments"])
    box = explanation["segments"][0]["box"]
    first = page.locator(".explanation .heat rect").first
    assert first.get_attribute("width") == str(box["xmax"] - box["xmin"])


def _frames(page: Page, explanation: Any) -> None:
    assert page.locator(".explanation .heat").count() == 4
    assert page.locator(".explanation .heat rect").count() == len(explanation["segments"])


def _words(page: Page, explanation: Any) -> None:
    text = page.locator("textarea").first.input_value()
    marked = page.locator(".explanation mark").all_inner_texts()
    assert marked == [text[s["start"] : s["end"]] for s in explanation["segments"]]


def _columns(page: Page, explanation: Any) -> None:
    strongest = max(explanation["segments"], key=lambda segment: abs(segment["value"]))
    labels = page.locator(".explanation >> nth=0").locator(".label").all_inner_texts()
    assert labels[0] == strongest["column"]
    assert len(labels) == len(explanation["segments"])


def _atoms(page: Page, explanation: Any) -> None:
    atoms = page.locator(".atoms li strong").all_inner_texts()
    assert len(atoms) == len(explanation["segments"])
    assert sorted({*atoms}) == ["C", "N", "O"]


def _spans(page: Page, explanation: Any) -> None:
    assert page.locator(".explanation .spans rect").count() == len(explanation["segments"])
    assert page.locator(".explanation .spans path").count() >= 1


def _points(page: Page, explanation: Any) -> None:
    (trace,) = plot_traces(page, ".explanation .plot")
    assert trace["length"] == explanation["extent"]["points"]


HEADS: dict[str, Callable[[Page, Any], None]] = {
    "image/classification": _cells,
    "xray/pneumonia": _cells,
    "infrared/objects": _cells,
    "video/action": _frames,
    "depth/action": _frames,
    "audio/events": _spans,
    "imu/activity": _spans,
    "text/sentiment": _words,
    "tabular/income": _columns,
    "graph/solubility": _atoms,
    "pointcloud/classification": _points,
}
PICTURED = ("image/classification", "text/sentiment", "audio/events")


@pytest.mark.parametrize("route", HEADS)
def test_an_explanation_is_drawn_over_the_input(visit: Visit, route: str) -> None:
    page = visit.open(route)
    page.wait_for_selector(".sample[aria-pressed=true]")
    page.get_by_role("switch").check()
    assert "explain=true" in page.locator(".curl").inner_text()
    response = visit.run()
    assert response.status == 200
    page.wait_for_selector(".explanation")
    explanation = response.json()["explanations"][0]
    HEADS[route](page, explanation)
    page.locator(".strongest summary").first.click()
    strongest = page.locator(".strongest").first.locator("li")
    assert strongest.count() == min(5, len(explanation["segments"]))
    assert strongest.first.inner_text()
    if route in PICTURED:
        visit.update_screenshot(f"explain_{route.replace('/', '_')}.png")


def test_without_the_switch_nothing_is_explained(visit: Visit) -> None:
    page = visit.open("text/sentiment")
    page.wait_for_selector(".sample[aria-pressed=true]")
    assert "explain" not in visit.run().request.url
    assert page.locator(".explanation").count() == 0


def test_a_head_without_explanations_has_no_switch(visit: Visit) -> None:
    page = visit.open("text/embedding")
    page.wait_for_selector("textarea")
    assert page.get_by_role("switch").count() == 0


def test_words_beyond_the_basic_plane_are_marked_where_they_are(visit: Visit) -> None:
    page = visit.open("text/sentiment")
    page.fill("textarea", "😀😀 good 😀 film")
    page.get_by_role("switch").check()
    visit.run()
    page.wait_for_selector(".explanation mark")
    assert page.locator(".explanation mark").all_inner_texts() == ["😀😀", "good", "😀", "film"]
