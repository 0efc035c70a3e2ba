"""Ask heads about inputs that show nothing, and count how often they doubt good ones.

::

    python -m loadtests.nonsense.measure_nonsense --data ../shared/data --out docs/doubt.json

Of every input it records the best score that the network alone gives, that of the service, and the
codes of the service's notes. False alarms are the rows of a split that the head's training
reference finds far. Starts the gateway with the reference network unless ``--url`` names one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from loadtests.nonsense.nonsense_inputs import NonsenseInput, nonsense_inputs
from loadtests.support.measured_gateway import CHECKPOINT, Gateway
from omnivec2.errors import OmniVecError
from omnivec2.familiarity import REFERENCE_FILE, read_training_reference
from omnivec2.postprocess import postprocessor_for
from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import HeadSpec, TaskFamily
from omnivec2.training.evaluation.evaluate_heads import read_heads
from omnivec2.training.familiarity.measure_reference import ReferenceMeasurement
from omnivec2.training.familiarity.part_sessions import PartSessions

_MOST_ROWS = 512
_SCORED = frozenset({TaskFamily.CLASSIFICATION, TaskFamily.SEGMENTATION})
_TIMEOUT_SECONDS = 120


def main() -> int:
    """Measure and write the figures; the exit status is 1 if an answer is given with confidence."""
    options = _options()
    with ExitStack() as stack:
        repository = options.model_repo
        if repository is None:
            repository = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = options.url
        if url is None:
            gateway = stack.enter_context(Gateway("--model-repo", str(repository)))
            url = f"http://127.0.0.1:{gateway.port}"
        heads = read_heads(CHECKPOINT, options.heads or None)
        alarms: list[dict[str, Any]] = []
        if options.data is not None:
            alarms = list(count_false_alarms(heads, repository, options.data, options.split))
        scored = [head for head in heads if head.family in _SCORED]
        answers = [row for head in scored for row in ask(head, url, PartSessions(repository))]
    if options.out is not None:
        figures = {"false_alarms": alarms, "nonsense": answers}
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if any((row["after"] or 0) >= 0.6 for row in answers) else 0


def count_false_alarms(
    heads: Sequence[HeadSpec], repository: Path, data: Path, split: str
) -> Iterator[dict[str, Any]]:
    """Yield how many rows of a split each head's reference finds far."""
    measurement = ReferenceMeasurement(CHECKPOINT, repository, data)
    for head in heads:
        reference = read_training_reference(CHECKPOINT / "models" / head.name / REFERENCE_FILE)
        if reference is not None:
            found = measurement.count_far(head, reference, split, lambda _: None)
            yield {"head": head.route, "split": split, "rows": found.rows, "far": found.far}
            print(f"{head.route}: {found.far:.1%} of {found.rows:,} rows of {split} are far")


def ask(head: HeadSpec, url: str, parts: PartSessions) -> Iterator[dict[str, Any]]:
    """Yield the scores and notes of a head for all inputs."""
    for nonsense in nonsense_inputs(head):
        before = _network_score(head, nonsense, parts)
        status, after, notes = _service_score(head, nonsense, url)
        row = {
            "head": head.route, "input": nonsense.name, "before": before, "after": after,
            "status": status, "notes": notes,
        }  # fmt: skip
        print(json.dumps(row))
        yield row


def best_score(answer: Any) -> float | None:
    """Return the highest score in an answer in any form; None if it has none."""
    if isinstance(answer, list):
        scores = [score for item in answer if (score := best_score(item)) is not None]
        return max(scores, default=None)
    if isinstance(answer, Mapping) and isinstance(answer.get("score"), int | float):
        return round(float(answer["score"]), 3)
    return None


def _network_score(head: HeadSpec, nonsense: NonsenseInput, parts: PartSessions) -> float | None:
    """Return the best score of the exported network, without the service's doubts."""
    preprocessor = preprocessor_for(head)
    try:
        if nonsense.media_type == "application/json":
            native = preprocessor.decode_json(json.loads(nonsense.body)["inputs"])
        else:
            native = preprocessor.decode(nonsense.body, nonsense.media_type)
        prepared = preprocessor.prepare(native)
    except OmniVecError:
        return None
    rows = range(min(len(prepared.samples), _MOST_ROWS))
    outputs = parts.run(head, prepared.samples, rows, [tensor.name for tensor in head.outputs])
    postprocessor = postprocessor_for(head.family)
    parameters = postprocessor.parameters_type()
    return best_score(postprocessor(outputs, prepared.context, head, parameters))


def _service_score(
    head: HeadSpec, nonsense: NonsenseInput, url: str
) -> tuple[int, float | None, list[str]]:
    """Return the status, the best score and the codes of the notes of a service's answer."""
    request = urllib.request.Request(
        f"{url}/predict/{head.route}",
        data=nonsense.body,
        headers={"Content-Type": nonsense.media_type},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            notes = response.headers.get("X-Notes", "")
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, None, []
    members = [member.split(";")[0].strip() for member in _members(notes)]
    codes = list(dict.fromkeys(code for code in members if code != "more"))
    return response.status, best_score(answer), codes


def _members(header: str) -> Iterator[str]:
    """Yield the members of a list of structured fields; commas may stand in their strings."""
    start, quoted = 0, False
    for index, sign in enumerate(header):
        if sign == '"' and header[index - 1 : index] != "\\":
            quoted = not quoted
        if sign == "," and not quoted:
            yield header[start:index]
            start = index + 1
    if header[start:].strip():
        yield header[start:]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("heads", nargs="*", help="heads to ask; default: all of the checkpoint")
    parser.add_argument("--url", help="ask this service, and start none")
    parser.add_argument("--model-repo", type=Path, help="its repository, in the shared layout")
    parser.add_argument("--data", type=Path, help="data sets, to count false alarms")
    parser.add_argument("--split", default="test", help="split that false alarms are counted on")
    parser.add_argument("--out", type=Path, help="file for the figures, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
