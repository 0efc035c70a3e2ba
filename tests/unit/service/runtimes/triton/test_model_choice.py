from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

from service.runtimes.base import Model
from service.runtimes.triton.endpoint import Endpoint
from service.runtimes.triton.model_choice import merge_models
from tests.support.model_repositories.tiny_models import classification

FIRST = Model(classification("text/sentiment", "no", "yes"), version="1")
SECOND = replace(FIRST, version="2")
NAME = FIRST.name


@dataclass
class Server:
    """What the choice looks at of a server."""

    models: dict[str, Model]
    is_up: bool = True
    shared: list[Model] = field(default_factory=list)

    def share_model(self, model: Model) -> None:
        self.shared.append(model)


def choose(*servers: Server, served: Model | None = None, wanted: bool = True) -> list[Model]:
    """Return the models that are served now."""
    endpoints = [cast(Endpoint, server) for server in servers]
    before = {} if served is None else {served.name: served}
    return list(merge_models(endpoints, before, lambda name: wanted).values())


def test_the_newest_version_of_all_servers_is_served() -> None:
    assert choose(Server({NAME: SECOND}), Server({NAME: FIRST})) == [SECOND]


def test_a_newer_version_of_an_ejected_server_is_not_served() -> None:
    assert choose(Server({NAME: SECOND}, is_up=False), Server({NAME: FIRST})) == [FIRST]


def test_a_model_that_only_an_ejected_server_has_stays_known() -> None:
    assert choose(Server({NAME: FIRST}, is_up=False), served=FIRST) == [FIRST]


def test_of_different_models_under_one_version_the_served_one_stays() -> None:
    other = Model(classification("text/sentiment", "bad", "good"), version="1")
    [chosen] = choose(Server({NAME: other}), Server({NAME: replace(FIRST)}), served=FIRST)
    assert chosen is FIRST


def test_servers_with_the_chosen_model_share_one_object() -> None:
    one, other = Server({NAME: FIRST}), Server({NAME: replace(FIRST)})
    [chosen] = choose(one, other)
    assert one.shared[0] is other.shared[0] is chosen


def test_models_that_are_not_wanted_are_not_served() -> None:
    assert choose(Server({NAME: FIRST}), wanted=False) == []
