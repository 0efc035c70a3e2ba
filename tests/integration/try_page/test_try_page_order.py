"""The last choice on the page at / wins, whatever arrives later."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, Route

from tests.support.browser import (
    SETTLE_MILLISECONDS,
    HeldRequests,
    Visit,
    fulfil_problem,
    wait_until,
)
from tests.support.documents import ROOT

DATA = ROOT / "tests" / "data"

# Reading and decoding files whose names start with "slow" ends when `readSlowFiles()` is called.
_SLOW_FILES = """
  const read = Blob.prototype.text;
  const released = new Promise((resolve) => (window.readSlowFiles = resolve));
  Blob.prototype.text = async function () {
    if (this.name?.startsWith("slow")) await released;
    return read.call(this);
  };
"""


def _refuse_key(route: Route) -> None:
    fulfil_problem(route, 401, "Unauthorized", "this API key is not known")


def _check_key(route: Route) -> None:
    if route.request.headers.get("authorization") == "Bearer correct":
        route.continue_()
    else:
        _refuse_key(route)


def _file(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content)
    return path


def _pressed_samples(page: Page) -> list[str]:
    return page.locator(".sample[aria-pressed=true]").all_inner_texts()


def _choose(page: Page, navigation: str, name: str) -> None:
    page.click(f"nav[aria-label={navigation}] a:text-is('{name}')")
    page.wait_for_selector(f"nav[aria-label={navigation}] a[aria-current]:text-is('{name}')")


# --- inputs -------------------------------------------------------------------------------


def test_a_late_sample_does_not_replace_a_file(visit: Visit) -> None:
    samples = HeldRequests(visit.page, "**/try/samples/person_16bit.png")
    page = visit.open("infrared/objects")
    samples.wait()
    visit.upload(DATA / "infrared" / "person_16bit.tiff")
    samples.let_go()
    assert page.locator(".drop .note code").inner_text() == "person_16bit.tiff"
    assert _pressed_samples(page) == []


def test_a_late_sample_does_not_replace_a_later_sample(visit: Visit) -> None:
    samples = HeldRequests(visit.page, "**/try/samples/horse.png")
    page = visit.open("image/classification")
    samples.wait()
    page.click(".sample:text-is('Photograph of a cat')")
    page.wait_for_selector(".sample[aria-pressed=true]")
    samples.let_go()
    assert _pressed_samples(page) == ["Photograph of a cat"]


def test_a_late_sample_does_not_replace_what_is_typed(visit: Visit) -> None:
    samples = HeldRequests(visit.page, "**/try/samples/review.txt")
    page = visit.open("text/sentiment")
    samples.wait()
    page.fill("textarea", "a dull film")
    samples.let_go()
    assert page.locator("textarea").input_value() == "a dull film"


def test_a_file_that_is_read_slowly_does_not_replace_a_sample(visit: Visit, tmp_path: Path) -> None:
    visit.page.add_init_script(_SLOW_FILES)
    page = visit.open("text/sentiment")
    page.wait_for_selector(".sample[aria-pressed=true]")
    visit.page.set_input_files(".upload input", _file(tmp_path, "slow.txt", "a dull film"))
    page.wait_for_selector("button.run:disabled")
    page.locator(".sample").first.click()
    page.wait_for_selector("button.run:enabled")
    page.evaluate("readSlowFiles()")
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    assert page.locator("textarea").input_value() != "a dull film"


def test_a_sample_that_fails_late_is_no_problem_of_the_file_chosen_since(visit: Visit) -> None:
    samples = HeldRequests(visit.page, "**/try/samples/horse.png")
    page = visit.open("image/classification")
    samples.wait()
    visit.upload(DATA / "image" / "blood_smear.webp")
    samples.let_go(lambda route: fulfil_problem(route, 503, "Unavailable", "not now"))
    assert page.locator(".problem").count() == 0
    assert page.locator("button.run").is_enabled()
    visit.expect_status(503)


# --- heads --------------------------------------------------------------------------------


def test_the_input_of_another_modality_is_gone_before_the_new_one_is_there(visit: Visit) -> None:
    page = visit.open("text/paraphrase")
    page.wait_for_selector(".sample[aria-pressed=true]")
    samples = HeldRequests(page, "**/try/samples/adult.csv")
    _choose(page, "Modality", "tabular")
    samples.wait()
    assert page.locator("button.run").is_disabled()
    assert page.locator(".drop .note, .shown > *").count() == 0
    samples.let_go()
    page.wait_for_selector("button.run:enabled")
    assert page.locator(".drop .note code").inner_text() == "adult.csv"


def test_a_sample_that_is_on_its_way_is_kept_by_another_task_of_its_modality(visit: Visit) -> None:
    page = visit.open("image/classification")
    page.wait_for_selector(".sample[aria-pressed=true]")
    samples = HeldRequests(page, "**/try/samples/cat.jpg")
    page.click(".sample:text-is('Photograph of a cat')")
    samples.wait()
    _choose(page, "Task", "embedding")
    samples.wait(2)
    samples.let_go()
    samples.let_go()
    page.wait_for_selector("button.run:enabled")
    assert _pressed_samples(page) == ["Photograph of a cat"]


def test_an_answer_for_the_head_before_is_not_shown(visit: Visit) -> None:
    page = visit.open("image/classification")
    answers = HeldRequests(page, "**/predict/image/classification")
    page.click("button.run:enabled")
    answers.wait()
    _choose(page, "Task", "embedding")
    assert visit.run().url.endswith("/predict/image/embedding")
    assert page.locator(".answer").get_attribute("data-family") == "embedding"


def test_an_answer_for_the_input_before_is_not_shown(visit: Visit) -> None:
    page = visit.open("image/classification")
    answers = HeldRequests(page, "**/predict/image/classification")
    page.click("button.run:enabled")
    answers.wait()
    visit.upload(DATA / "image" / "blood_smear.webp")
    page.wait_for_selector("button.run:enabled:text-is('Run')")
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    assert page.locator(".answer, .problem").count() == 0


# --- API keys -----------------------------------------------------------------------------


def test_a_late_refusal_of_an_earlier_key_does_not_ask_again(visit: Visit) -> None:
    page = visit.page
    page.route("**/models", _check_key)
    lists = HeldRequests(page, "**/models", bearer="wrong")
    page.goto(visit.address)
    page.fill(".key input", "wrong")
    page.click("text=Use the key")
    lists.wait()
    page.fill(".key input", "correct")
    page.click("text=Use the key")
    page.wait_for_selector("button.run:enabled")
    lists.let_go(_refuse_key)
    assert page.locator(".problem, .key").count() == 0
    visit.expect_status(401)


def test_a_new_key_is_used_at_once_while_an_earlier_one_is_checked(visit: Visit) -> None:
    page = visit.open("text/sentiment")
    page.route("**/predict/**", _check_key)
    answers = HeldRequests(page, "**/predict/**", bearer="wrong")
    visit.run()
    page.fill(".key input", "wrong")
    page.click("text=Use the key")
    answers.wait()
    page.fill(".key input", "correct")
    page.click("text=Use the key")
    page.wait_for_selector(".bars")
    visit.expect_status(401)


# --- previews -----------------------------------------------------------------------------


def test_a_history_that_is_decoded_after_the_answer_is_drawn_with_it(
    visit: Visit, tmp_path: Path
) -> None:
    visit.page.add_init_script(_SLOW_FILES)
    page = visit.open("timeseries/forecast")
    hourly = (ROOT / "service" / "static" / "samples" / "hourly.csv").read_text()
    visit.upload(_file(tmp_path, "slow.csv", hourly))
    assert visit.run().status == 200
    history = "() => document.querySelector('.answer .plot')?.data?.[0].x?.length ?? 0"
    assert page.evaluate(history) == 0
    page.evaluate("readSlowFiles()")
    wait_until(page, f"() => ({history})() > 0")
