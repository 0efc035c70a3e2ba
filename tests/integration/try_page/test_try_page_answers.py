"""Answers on the page at / that no shipped head gives, and what can be done with answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, Route

from omnivec2.postprocess.number_maps import describe_map
from omnivec2.spec import Target
from tests.support.browser import Visit, plot_traces, wait_painted


def _labelled_cloud(page: Page) -> None:
    traces = plot_traces(page, ".answer .plot")
    assert [(trace["name"], trace["length"]) for trace in traces] == [("seat", 770), ("leg", 770)]


def _quantiles(page: Page) -> None:
    traces = plot_traces(page, ".answer .plot")
    assert [trace["name"] for trace in traces] == ["history", "0.1", "0.1 to 0.9", "forecast"]


def _number_map(page: Page) -> None:
    wait_painted(page, ".values-map")
    wait_painted(page, ".scale canvas")
    assert page.locator(".number-map figcaption").inner_text() == "depth, mean 1.75 m"
    assert page.locator(".scale").inner_text().split() == ["1", "m", "2.5", "m"]
    # The ends of the scale are the first and the last colour of the map.
    corners = page.locator(".values-map").evaluate(
        """canvas => [[0, 0], [canvas.width - 1, canvas.height - 1]].map(
          ([x, y]) => [...canvas.getContext("2d").getImageData(x, y, 1, 1).data])"""
    )
    assert corners == [[68, 1, 84, 255], [253, 231, 37, 255]]
    box = page.locator(".values-map").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.625 * box["width"], box["y"] + 0.5 * box["height"])
    page.wait_for_selector(".number-map output:has-text('2 m at x 2, y')")


def _json(page: Page) -> None:
    assert '"anything": 1' in page.locator(".answer > pre").inner_text()


# A depth that grows by half a metre from column to column.
_DEPTH = describe_map(
    np.tile(np.array([1, 1.5, 2, 2.5], np.float32), (3, 1)), (4, 3), Target(name="depth", unit="m")
)
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
        ("image/classification", "regression", [_DEPTH], _number_map),
        ("timeseries/forecast", "forecasting", {"predictions": [_FORECAST]}, _quantiles),
        ("text/sentiment", "oracle", {"anything": 1}, _json),
    ],
    ids=["labelled points", "number map", "quantiles", "unknown family"],
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
