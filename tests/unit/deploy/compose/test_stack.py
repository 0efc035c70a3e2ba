"""How the stack of docker-compose.yml is changed for a machine without container networks."""

from __future__ import annotations

import yaml

from deploy.compose.stack import COMPOSE_FILE, Ports, for_this_machine

DOCUMENT = yaml.safe_load(COMPOSE_FILE.read_text())
PORTS = Ports(gateway=1, metrics=2, triton_http=3, triton_grpc=4, triton_metrics=5)
CHANGED = {"command", "environment", "healthcheck", "network_mode", "networks", "ports"}


def test_without_a_bridge_everything_listens_on_loopback() -> None:
    services = for_this_machine(DOCUMENT, PORTS, bridge=False)["services"]
    assert services["gateway"]["environment"]["OMNIVEC2_HOST"] == "127.0.0.1"
    addresses = [word for word in services["triton"]["command"] if "-address=" in word]
    assert len(addresses) == 3
    assert all(word.endswith("=127.0.0.1") for word in addresses)
    assert services["gateway"]["environment"]["OMNIVEC2_TRITON_ENDPOINTS"] == "127.0.0.1:4"
    assert "127.0.0.1:3/v2/" in services["triton"]["healthcheck"]["test"][-1]


def test_without_a_bridge_hardening_and_limits_stay_as_they_are() -> None:
    services = for_this_machine(DOCUMENT, PORTS, bridge=False)["services"]
    for name in ("models", "triton", "gateway"):
        original = DOCUMENT["services"][name]
        for key in original.keys() - CHANGED:
            assert services[name][key] == original[key]


def test_with_a_bridge_only_an_option_of_the_development_triton_is_added() -> None:
    made = for_this_machine(DOCUMENT, PORTS, bridge=True)
    assert made["services"]["gateway"] == DOCUMENT["services"]["gateway"]
    assert made["networks"] == DOCUMENT["networks"]
    original = DOCUMENT["services"]["triton"]["command"]
    assert made["services"]["triton"]["command"][: len(original)] == original


def test_profiles_are_left_out() -> None:
    made = for_this_machine(DOCUMENT, PORTS, bridge=True)
    assert made["services"].keys() == {"models", "triton", "gateway"}
