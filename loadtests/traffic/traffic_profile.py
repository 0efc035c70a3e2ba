"""The profile of a load test: its requests, its rate and its thresholds, in a TOML file."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

PROFILES = Path(__file__).parents[1] / "profiles"

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Step(_Strict):
    """A point of a ramp: ``rate`` requests a second at ``at_seconds``, linear in between."""

    at_seconds: Annotated[float, Field(ge=0)]
    rate: Positive


class Shape(_Strict):
    """The arrival of requests.

    ``closed``: ``users`` who send the next request as soon as they have an answer, and who wait
    after a 429 as long as it says. ``constant``: ``rate`` requests a second, whatever the
    service does. ``ramp``: the rate goes from step to step. Locust's users are closed loops, so
    a rate takes many of them: each sends one request in ``patience_seconds``, and as long as an
    answer takes less than that, no arrival is late.
    """

    kind: Literal["closed", "constant", "ramp"]
    users: Annotated[int, Field(ge=1)] | None = None
    rate: Positive | None = None
    steps: tuple[Step, ...] = ()
    patience_seconds: Positive = 5.0

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        needs = {"closed": "users", "constant": "rate", "ramp": "steps"}
        for name in needs.values():
            if bool(getattr(self, name)) != (name == needs[self.kind]):
                raise ValueError(f"a {self.kind} shape has {needs[self.kind]}, and only that")
        times = [step.at_seconds for step in self.steps]
        if times and (times[0] != 0 or times != sorted(set(times))):
            raise ValueError("steps start at 0 seconds and go on in time")
        return self

    @property
    def is_open(self) -> bool:
        """Whether requests arrive whatever the service does."""
        return self.kind != "closed"

    def rate_at(self, seconds: float) -> float:
        """Return the arrivals per second at a time of an open shape."""
        if self.rate is not None:
            return self.rate
        before = [step for step in self.steps if step.at_seconds <= seconds]
        after = [step for step in self.steps if step.at_seconds > seconds]
        if not after:
            return before[-1].rate
        start, stop = before[-1], after[0]
        share = (seconds - start.at_seconds) / (stop.at_seconds - start.at_seconds)
        return start.rate + share * (stop.rate - start.rate)

    def users_at(self, seconds: float) -> int:
        """Return the number of users that keep the rate of a time."""
        if self.users is not None:
            return self.users
        return max(1, math.ceil(self.rate_at(seconds) * self.patience_seconds))


class AgainstBaseline(_Strict):
    """The allowed changes against an earlier run on the same machine."""

    p99_ratio: Annotated[float, Field(ge=1)] = 2.0
    rate_ratio: Share = 0.7


class Thresholds(_Strict):
    """The limits of a run; shares are of all requests, milliseconds are of 200 answers."""

    error_rate: Share = 0.0
    shed_rate: Share = 0.0
    p99_ms: Positive | None = None
    p99_ms_by_modality: dict[str, Positive] = {}
    rate: Positive | None = None
    arrivals_held: Share | None = None
    against_baseline: AgainstBaseline = AgainstBaseline()


class Profile(_Strict):
    """A load test.

    ``mix``: modality or ``modality/task`` -> weight; empty gives all heads the same weight. A
    modality's weight is spread over its heads.
    """

    description: str
    mix: dict[str, Annotated[float, Field(ge=0)]] = {}
    shape: Shape
    thresholds: Thresholds = Thresholds()
    timeout_seconds: Positive = 30.0


def read_profile(name: str) -> Profile:
    """Read a profile of ``profiles/`` by its name, or any by its path.

    Raises:
        ValueError: There is none, or it is invalid; the message says why.
    """
    path = Path(name) if name.endswith(".toml") else PROFILES / f"{name}.toml"
    try:
        return Profile.model_validate(tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError as error:
        known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.toml")))
        raise ValueError(f"there is no profile {path}; there are {known}") from error
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ValueError(f"{path}: {error}") from error
