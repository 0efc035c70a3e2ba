from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.measured_doubt import false_alarms, nonsense
from export.repository.assembly import assemble
from export.repository.layouts import Layout
from loadtests.nonsense.measure_nonsense import ask, best_score
from loadtests.nonsense.nonsense_inputs import NonsenseInput, nonsense_inputs
from omnivec2.errors import OmniVecError
from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import HeadSpec, Modality
from omnivec2.training.familiarity.part_sessions import PartSessions
from tests.support.checkpoints.tiny_exports import write_tiny_export
from tests.support.model_repositories.tiny_models import classification, tiny_heads


def is_taken(head: HeadSpec, nonsense: NonsenseInput) -> bool:
    """Whether the pre-processor of a head takes an input."""
    preprocessor = preprocessor_for(head)
    try:
        if nonsense.media_type == "application/json":
            native = preprocessor.decode_json(json.loads(nonsense.body)["inputs"])
        else:
            native = preprocessor.decode(nonsense.body, nonsense.media_type)
        return len(preprocessor.prepare(native).samples) > 0
    except OmniVecError:
        return False


@pytest.mark.parametrize("modality", list(Modality))
def test_most_nonsense_of_every_modality_is_in_a_form_that_is_taken(modality: Modality) -> None:
    head = next(h for h in tiny_heads() if h.modality is modality and not h.is_embedding)
    inputs = nonsense_inputs(head)
    assert [item.name for item in inputs] == [item.name for item in nonsense_inputs(head)]
    assert sum(is_taken(head, item) for item in inputs) >= 3


@pytest.fixture
def url() -> Iterator[str]:
    """A service that answers everything with one label and a note."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps([{"label": "still", "score": 0.55}]).encode()
            self.send_response(200)
            self.send_header("X-Notes", 'empty;text="no, nothing", far_from_training;count=1')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_network_and_the_service_are_asked_and_the_tables_show_both(
    tmp_path: Path, url: str
) -> None:
    head = classification("imu/activity", "still", "moving")
    checkpoint = write_tiny_export(tmp_path / "checkpoint", [head])
    assemble(checkpoint, tmp_path / "repository", Layout.SHARED)
    rows = list(ask(head, url, PartSessions(tmp_path / "repository")))
    assert [row["input"] for row in rows] == [item.name for item in nonsense_inputs(head)]
    assert all(0.5 <= row["before"] <= 1 for row in rows)
    assert {row["after"] for row in rows} == {0.55}
    assert rows[0]["notes"] == ["empty", "far_from_training"]
    figures = tmp_path / "doubt.json"
    alarms = [{"head": head.route, "split": "test", "rows": 1234, "far": 0.005}]
    figures.write_text(json.dumps({"nonsense": rows, "false_alarms": alarms}))
    assert "| `imu/activity` | 1,234 of test | 0.5% |" in false_alarms(figures)
    assert "| 0.55 | `empty`, `far_from_training` |" in nonsense(figures)


def test_the_best_score_is_found_in_every_form_of_an_answer() -> None:
    assert best_score([[{"label": "a", "score": 0.2}], [{"label": "b", "score": 0.7}]]) == 0.7
    assert best_score([{"label": "a", "score": 0.3, "mask": "…"}]) == 0.3
    assert best_score({"labels": [1, 2]}) is None
    assert best_score([0.1, 0.2]) is None
