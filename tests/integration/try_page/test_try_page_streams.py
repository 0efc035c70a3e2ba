"""Texts and recordings come in parts on the page at /, while the rest is computed."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from playwright.sync_api import Page, Route

from tests.support.browser import Visit, answer_in
from tests.support.documents import ROOT

_WATCH = """() => {
  window.seen = [];
  new MutationObserver(() => {
    const partial = document.querySelector(".partial");
    if (partial) window.seen.push(partial.textContent.trim());
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


def _seen(page: Page) -> list[str]:
    """What the page showed of the answer before it was whole, each once."""
    seen: list[str] = page.evaluate("window.seen")
    return list(dict.fromkeys(seen))


def _event(name: str, **data: Any) -> str:
    return f"event: {name}\nid: 1\ndata: {json.dumps(data)}\n\n"


def _fulfil(body: str, route: Route) -> None:
    route.fulfill(body=body, content_type="text/event-stream")


def _recording(path: Path, seconds: int) -> Path:
    """A dog that barks again and again."""
    bark, rate = soundfile.read(ROOT / "tests/data/audio/dog_bark.wav")
    soundfile.write(path, np.resize(bark, seconds * rate), rate)
    return path


def test_a_summary_grows_while_it_is_written(visit: Visit) -> None:
    page = visit.open("text/summarization")
    page.wait_for_selector(".sample[aria-pressed=true]")
    page.evaluate(_WATCH)
    response = visit.run()
    assert response.headers["content-type"].startswith("text/event-stream")
    (answer,) = answer_in(page, response)
    assert page.locator(".answer blockquote").inner_text() == answer["summary_text"]
    assert page.locator(".partial").count() == 0
    seen = _seen(page)
    assert len(seen) > 2
    assert len(seen[0]) < len(seen[-1])
    assert page.locator("#time-title ~ .legend li").count() > 2


def test_a_long_recording_is_answered_window_by_window(visit: Visit, tmp_path: Path) -> None:
    page = visit.open("audio/events")
    visit.upload(_recording(tmp_path / "barking.flac", 25))
    page.evaluate(_WATCH)
    response = visit.run()
    count = page.locator(".windows tbody tr").count()
    assert count > 2
    assert any(f"Window 1 of {count}" in text for text in _seen(page))
    best = answer_in(page, response)[0]["label"]
    assert page.locator(".answer .bars .label").first.inner_text() == best
    page.click(".windows summary")
    assert page.locator(".windows tbody tr").last.is_visible()
    visit.update_screenshot("stream_audio_events.png")


def test_an_input_of_one_window_has_no_list_of_them(visit: Visit) -> None:
    page = visit.open("audio/events")
    page.wait_for_selector(".sample[aria-pressed=true]")
    visit.run()
    assert page.locator(".answer .bars").count() == 1
    assert page.locator(".windows").count() == 0


def test_a_stream_that_fails_or_breaks_off_ends_in_a_problem(visit: Visit) -> None:
    page = visit.open("text/summarization")
    page.wait_for_selector(".sample[aria-pressed=true]")
    part = ": keep-alive\n\n" + _event("token", index=0, answer={"summary_text": "A doctor"})
    failed = _event("error", status=504, title="Gateway Timeout", detail="no answer within 1 s")
    for body, reason in ((part + failed, "no answer within 1 s"), (part, "connection was lost")):
        page.route("**/predict/**", partial(_fulfil, body))
        visit.run()
        page.wait_for_selector(f".problem:has-text('{reason}')")
        assert page.locator(".partial, .answer").count() == 0
        page.unroute("**/predict/**")
