from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.traffic.traffic_profile import PROFILES, Shape, read_profile


def written(directory: Path, shape: str, rest: str = "") -> str:
    path = directory / "own.toml"
    path.write_text(f'description = "own"\n{rest}\n[shape]\n{shape}\n')
    return str(path)


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_profile_that_ships_is_valid(path: Path) -> None:
    assert read_profile(path.stem).description


def test_a_rate_is_kept_by_users_who_each_ask_once_in_their_patience(tmp_path: Path) -> None:
    shape = read_profile(
        written(tmp_path, 'kind = "constant"\nrate = 7.5\npatience_seconds = 4')
    ).shape
    assert shape.users_at(0) == 30
    assert shape.is_open


def test_a_ramp_goes_in_a_line_from_step_to_step() -> None:
    steps = [(0, 2), (10, 22), (20, 22)]
    shape = Shape.model_validate(
        {"kind": "ramp", "steps": [{"at_seconds": at, "rate": rate} for at, rate in steps]}
    )
    assert [shape.rate_at(at) for at in (0, 5, 10, 15, 99)] == [2, 12, 22, 22, 22]


@pytest.mark.parametrize(
    ("shape", "named"),
    [
        ('kind = "closed"', "has users"),
        ('kind = "closed"\nusers = 3\nrate = 1', "has users, and only that"),
        ('kind = "constant"\nrate = 0', "rate"),
        ('kind = "ramp"\nsteps = [{ at_seconds = 5, rate = 1 }]', "start at 0"),
        ('kind = "wave"', "kind"),
        ('kind = "closed"\nusers = 3\nspeed = 1', "speed"),
        ('kind = "closed', "own.toml"),
    ],
)
def test_a_wrong_profile_is_refused_with_what_is_wrong(
    shape: str, named: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=named):
        read_profile(written(tmp_path, shape))


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="closed, mixed, ramp"):
        read_profile("nonsense")
