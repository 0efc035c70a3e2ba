"""The page at / when there is no answer: what it says, and how it goes on."""

from __future__ import annotations

import requests
from playwright.sync_api import Route

from tests.support.browser import Visit, fulfil_problem
from tests.support.documents import ROOT

DATA = ROOT / "tests" / "data"


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
    # Only this tab knows the key, and its list of requests does not hold it.
    assert page.evaluate("localStorage.length") == 0
    kept = dict(page.evaluate("Object.entries(sessionStorage)"))
    assert kept.pop("omnivec2-key") == "correct"
    assert kept.keys() == {"omnivec2-history"}
    assert "correct" not in kept["omnivec2-history"]
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
