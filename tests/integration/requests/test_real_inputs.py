"""Inputs as people have them are answered as the same content saved plainly, or told honestly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib import import_module

import httpx
import pytest

from omnivec2.preprocess.notes import NoteCode
from omnivec2.spec import Modality
from service.access.strictness import STRICT_HEADER
from service.http.notes_header import NOTES_HEADER, parse_notes
from tests.cases.case import Asking, Case, Sent, sent

CASES: dict[Modality, list[Case]] = {
    modality: import_module(f"tests.cases.{modality.value}_cases").CASES for modality in Modality
}
ALL = [case for cases in CASES.values() for case in cases]


@pytest.fixture(scope="module")
def ask(reference_server: str) -> Iterator[Asking]:
    answers: dict[tuple[str, Sent], httpx.Response] = {}
    with httpx.Client(base_url=reference_server, timeout=60) as client:

        def ask_once(route: str, sent: Sent) -> httpx.Response:
            key = (route, sent)
            if key not in answers:
                path = route if route.startswith("/") else f"/predict/{route}"
                headers = {"Content-Type": sent.content_type} if sent.content_type else {}
                answers[key] = client.post(path, content=sent.content, headers=headers)
            return answers[key]

        yield ask_once


def test_every_modality_has_cases_with_names_of_their_own() -> None:
    assert [name for name, count in Counter(case.name for case in ALL).items() if count > 1] == []
    assert min(len(cases) for cases in CASES.values()) >= 6


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_a_real_input_is_answered_as_a_sensible_user_wants(case: Case, ask: Asking) -> None:
    answer = ask(case.route, sent(case.made))
    assert answer.status_code < 500, answer.text[:500]
    assert not (complaint := case.expected.complaint(answer, case.route, ask)), complaint


@pytest.mark.parametrize("code", NoteCode)
def test_a_strict_request_is_refused_for_every_code_of_a_note(
    code: NoteCode, ask: Asking, reference_server: str
) -> None:
    # What pre-processing notes is refused before the network says how far the input is.
    late = {NoteCode.FAR_FROM_TRAINING}
    for case in ALL:
        request = sent(case.made)
        noted = parse_notes(ask(case.route, request).headers.get(NOTES_HEADER, ""))
        codes = {note["code"] for note in noted}
        if code in codes and (code not in late or codes <= late):
            break
    else:
        pytest.fail(f"no case has a note with the code {code.value}")
    headers = {STRICT_HEADER: "true"}
    if request.content_type:
        headers["Content-Type"] = request.content_type
    url = f"{reference_server}/predict/{case.route}"
    refusal = httpx.post(url, content=request.content, headers=headers, timeout=60)
    assert refusal.status_code == 422, case.name
    assert code in {note["code"] for note in refusal.json()["notes"]}
