from __future__ import annotations

from pathlib import Path

import pytest

from export.repository.triton_options import CostTable, TritonOptions, read_cost_table
from omnivec2.errors import ArtifactError

TRUNK = {1: 0.0132, 2: 0.0241, 4: 0.0456, 8: 0.0890, 16: 0.1782, 32: 0.3619}
"""Batching saves a sixth."""
WORDS = {1: 0.0010, 2: 0.0011, 4: 0.0012, 8: 0.0014, 16: 0.0018, 32: 0.0032}
"""A call costs more than its rows."""
FILM = {1: 0.0095, 2: 0.0210, 4: 0.0424}
"""Batching saves nothing."""


def measured(cores: int = 2) -> TritonOptions:
    seconds = {"trunk": TRUNK, "words": WORDS, "film": FILM}
    return TritonOptions(costs=CostTable(engine="onnxruntime", cores=cores, seconds=seconds))


def test_without_measurements_every_model_has_the_same_settings() -> None:
    settings = TritonOptions().settings_of("trunk", 32)
    assert settings == TritonOptions().settings_of("words", 32)
    assert (settings.instances, settings.preferred, settings.delay_us) == (2, (8, 16, 32), 500)
    assert measured().settings_of("unknown", 4).preferred == (1, 2, 4)


def test_batches_are_dispatched_at_once_when_a_larger_one_would_hardly_be_cheaper() -> None:
    assert measured().settings_of("trunk", 32).preferred == (4, 8, 16, 32)
    assert measured().settings_of("words", 32).preferred == (32,)
    assert measured().settings_of("film", 32).preferred == (1, 32)


def test_no_size_is_preferred_beyond_what_a_model_takes() -> None:
    assert measured().settings_of("trunk", 6).preferred == (4, 6)


def test_a_caller_waits_for_others_no_longer_than_it_can_save_or_than_it_would_notice() -> None:
    assert measured().settings_of("trunk", 32).delay_us == round(0.05 * 13_200)
    assert measured().settings_of("words", 32).delay_us == 50
    assert measured().settings_of("film", 32).delay_us == 0


def test_expensive_models_have_an_instance_per_core_and_cheap_ones_two() -> None:
    assert [measured(16).settings_of(n, 32).instances for n in ("trunk", "film", "words")] == [
        16,
        12,
        2,
    ]
    assert measured(2).settings_of("words", 32).instances == 2


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = measured().costs
    assert table is not None
    (tmp_path / "costs.json").write_text(table.model_dump_json())
    assert read_cost_table(tmp_path / "costs.json") == table


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "costs.json: cannot be read"),
        ("{}", "not a cost table: engine"),
        ('{"engine":"onnxruntime","cores":2,"seconds":{"trunk":{}}}', "seconds.trunk"),
        ('{"engine":"onnxruntime","cores":2,"seconds":{"trunk":{"1":-1}}}', "greater than 0"),
        ('{"engine":"onnxruntime","cores":2,"seconds":{"trunk":{"0":1}}}', "seconds.trunk.0"),
        ('{"engine":"steam","cores":2,"seconds":{}}', "engine"),
    ],
)
def test_what_is_no_table_is_refused_by_name(
    text: str | None, message: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "costs.json").write_text(text)
    with pytest.raises(ArtifactError, match=message):
        read_cost_table(tmp_path / "costs.json")
