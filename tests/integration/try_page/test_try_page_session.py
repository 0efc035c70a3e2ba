"""Two answers side by side, the session's history, and links that reproduce a request."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser import Visit, fulfil_problem, new_context, wait_painted
from tests.support.documents import ROOT

SMEAR = ROOT / "tests/data/image/blood_smear.jpg"


def _compare(page: Page, task: str) -> None:
    page.get_by_label("Compare with").select_option(task)


def _titles(page: Page) -> list[str]:
    return [title.split()[0] for title in page.locator(".side > h3").all_inner_texts()]


# --- side by side -------------------------------------------------------------------------


def test_two_heads_answer_one_input_side_by_side(visit: Visit) -> None:
    page = visit.open("image/classification")
    visit.upload(SMEAR)
    _compare(page, "detection")
    with page.expect_response("**/predict/image/detection"):
        visit.run()
    page.wait_for_selector("[data-side=beside] .answer")
    assert _titles(page) == ["image/classification", "image/detection"]
    assert page.locator("[data-side=now] .bars").count() == 1
    boxes = page.locator("[data-side=beside] .boxes rect").count()
    assert boxes > 0
    assert f"{boxes} boxes" in page.locator("[data-side=beside]").inner_text()
    wait_painted(page, "[data-side=beside] .stack canvas")
    assert "version" in page.locator("[data-side=beside] h3").inner_text()
    page.click("[data-side=beside] button:text-is('Hide')")
    assert page.locator(".sides").count() == 0
    assert page.locator(".answer .bars").count() == 1


def test_a_failure_of_the_second_head_leaves_the_answer_of_the_first(visit: Visit) -> None:
    page = visit.open("text/sentiment")
    page.wait_for_selector(".sample[aria-pressed=true]")
    page.route("**/predict/text/embedding", lambda route: fulfil_problem(route, 429, "Busy", "no"))
    _compare(page, "embedding")
    visit.run()
    page.wait_for_selector("[data-side=beside] .problem")
    assert page.locator("[data-side=now] .bars").count() == 1
    visit.expect_status(429)


def test_only_heads_that_take_the_same_input_are_offered(visit: Visit) -> None:
    page = visit.open("text/sentiment")
    page.wait_for_selector(".sample[aria-pressed=true]")
    offered = page.get_by_label("Compare with").locator("option").all_inner_texts()
    assert "text/embedding" in offered
    assert "text/paraphrase" not in offered
    assert "text/sentiment" not in offered


def test_an_earlier_answer_stands_beside_the_present_one(visit: Visit) -> None:
    page = visit.open("text/sentiment")
    page.fill("textarea", "a wonderful film")
    visit.run()
    page.fill("textarea", "a terrible film")
    visit.run()
    page.locator(".session button:text-is('Beside the answer')").first.click()
    page.wait_for_selector("[data-side=beside] .answer")
    best = page.locator(".best .label").all_inner_texts()
    assert best == ["negative", "positive"]
    visit.update_screenshot("compare_text.png")


# --- history ------------------------------------------------------------------------------


def test_the_session_lists_its_requests_and_opens_them_again(visit: Visit) -> None:
    page = visit.open("image/classification")
    visit.upload(SMEAR)
    visit.run()
    page.click("nav[aria-label=Modality] a:text-is('text')")
    page.wait_for_selector("textarea")
    page.fill("textarea", "A good film — “really”. " * 200)
    visit.run()
    entries = page.locator(".session li")
    assert entries.count() == 2
    assert "notes: cut" in entries.first.inner_text()
    assert entries.nth(1).locator("img").count() == 1
    assert "blood_smear.jpg" in entries.nth(1).inner_text()
    entries.nth(1).locator("a").click()
    page.wait_for_selector(".drop code:text-is('blood_smear.jpg')")
    page.wait_for_selector(".answer .bars")
    assert page.url.endswith("#image/classification?file=blood_smear.jpg")


def test_the_list_outlives_a_reload_but_not_the_tab(visit: Visit) -> None:
    page = visit.open("text/sentiment")
    page.fill("textarea", "a fine film")
    visit.run()
    page.reload()
    page.wait_for_selector(".session li")
    page.fill("textarea", "something else")
    page.click(".session a")
    page.wait_for_selector("textarea")
    assert page.locator("textarea").input_value() == "a fine film"
    page.click("button:text-is('Forget')")
    assert page.locator(".session").count() == 0
    page.reload()
    page.wait_for_selector("textarea")
    assert page.locator(".session").count() == 0


def test_no_more_than_a_dozen_requests_are_kept(visit: Visit) -> None:
    page = visit.open("text/sentiment")
    for number in range(14):
        page.fill("textarea", f"film number {number}")
        visit.run()
        page.wait_for_selector(".answer .bars")
    assert page.locator(".session li").count() == 12
    stored = json.loads(page.evaluate("sessionStorage.getItem('omnivec2-history')"))
    assert len(stored) == 12
    assert "result" not in stored[0]


# --- links --------------------------------------------------------------------------------


def _link(page: Page) -> str:
    return str(page.locator(".link a").evaluate("a => a.href"))


def test_a_link_reproduces_typed_text_and_its_options(browser: Browser, visit: Visit) -> None:
    page = visit.open("text/sentiment")
    page.fill("textarea", "naïve & „bold“ #1?")
    page.get_by_role("switch").check()
    _compare(page, "embedding")
    other = Visit(new_context(browser), visit.address)
    try:
        other.page.goto(_link(page))
        other.page.wait_for_selector("textarea")
        assert other.page.locator("textarea").input_value() == "naïve & „bold“ #1?"
        assert other.page.get_by_role("switch").is_checked()
        assert other.page.get_by_label("Compare with").input_value() == "embedding"
        other.run()
        other.page.wait_for_selector("[data-side=beside] .answer")
        assert not other.errors
    finally:
        other.context.close()


def test_a_link_names_a_sample(visit: Visit) -> None:
    page = visit.open("image/classification")
    page.click(".sample:has-text('cat')")
    page.wait_for_selector(".sample[aria-pressed=true]:has-text('cat')")
    link = _link(page)
    assert link.endswith("#image/classification?sample=cat.jpg")
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector(".sample[aria-pressed=true]:has-text('cat')")


def test_a_link_to_one_s_own_file_says_which_to_choose_again(visit: Visit) -> None:
    page = visit.open("image/classification")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    visit.upload(SMEAR)
    link = _link(page)
    assert link.endswith("?file=blood_smear.jpg")
    assert (
        "stays on this computer" in page.locator("section[aria-labelledby=curl-title]").inner_text()
    )
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector(".expected")
    assert "blood_smear.jpg" in page.locator(".expected").inner_text()
    assert page.locator("button.run").is_disabled()
    visit.upload(SMEAR)
    assert page.locator(".expected").count() == 0
    assert set(sent) == {"GET"}
    assert visit.run().status == 200


@pytest.mark.parametrize(
    "fragment",
    [
        "text/sentiment?json=5",
        "text/sentiment?json=%7B%22text%22%3A1%7D",
        "text/paraphrase?json=null",
        "tabular/income?json=%5B%5D",
        "text/sentiment?sample=cat.jpg&compare=detection",
        "text/%E0%A4%A?json=",
        "nothing/here?file=" + quote("<img src=x onerror=alert(1)>"),
    ],
)
def test_a_link_that_somebody_has_altered_is_harmless(visit: Visit, fragment: str) -> None:
    page = visit.open(fragment)
    page.wait_for_selector("button.run:enabled")
    assert visit.run().status == 200
    assert not visit.errors


def test_two_answers_stand_below_each_other_on_a_phone(
    browser: Browser, reference_server: str
) -> None:
    phone = {"width": 390, "height": 800}
    visit = Visit(new_context(browser, viewport=phone), reference_server)
    try:
        page = visit.open("text/sentiment")
        page.wait_for_selector(".sample[aria-pressed=true]")
        _compare(page, "embedding")
        visit.run()
        page.wait_for_selector("[data-side=beside] .answer")
        now, beside = (
            page.locator(f"[data-side={side}]").bounding_box() for side in ("now", "beside")
        )
        assert now is not None
        assert beside is not None
        assert beside["y"] >= now["y"] + now["height"]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    finally:
        visit.context.close()
