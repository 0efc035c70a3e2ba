"""The real data sets, where they are there: the parts that figures are quoted on stay as they are.

Only those that are prepared in a few seconds.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from omnivec2.training.data import TaskData, load_task

pytestmark = pytest.mark.uncounted

SIZES = {
    "audio/events": (208, 32, 80),
    "text/sentiment": (6920, 872, 911),
    "text/paraphrase": (3576, 500, 863),
    "text/entailment": (4500, 500, 2464),
    "timeseries/forecast": (57463, 19495, 19495),
    "tabular/income": (29305, 3256, 8141),
    "tabular/marketing": (32552, 4069, 4069),
    "graph/solubility": (814, 100, 102),
    "imu/activity": (6250, 1102, 1292),
    "hyperspectral/landcover": (400, 160, 10600),
}
"""Route -> samples of train, val and test."""


@pytest.fixture(scope="module")
def real(shared_data, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    loaded: dict[str, TaskData] = {}

    def load(route: str) -> TaskData:
        if route not in loaded:
            loaded[route] = load_task(route, shared_data, cache=cache)
        return loaded[route]

    return load


@pytest.mark.parametrize("route", SIZES)
def test_parts_have_the_sizes_that_figures_are_quoted_on(real, route):
    assert tuple(len(split) for split in real(route).splits.values()) == SIZES[route]


@pytest.mark.parametrize("route", ["audio/events", "text/paraphrase", "imu/activity"])
def test_no_test_sample_is_trained_on(real, route):
    def digests(part):
        return {
            hashlib.sha256(b"".join(a.tobytes() for a in sample.values())).digest()
            for sample in real(route).splits[part].samples
        }

    assert digests("test").isdisjoint(digests("train"))


def test_sentences_to_tell_the_sentiment_of_are_in_english(real):
    ids = np.concatenate([s["input_ids"] for s in real("text/sentiment").splits["test"].samples])
    the, unknown = 1996, 100  # ids of "the" and [UNK] in BERT's vocabulary
    assert np.mean(ids == the) > 0.02
    assert np.mean(ids == unknown) < 0.001
