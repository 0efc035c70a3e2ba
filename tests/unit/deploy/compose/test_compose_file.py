"""What docker-compose.yml promises about who is reachable and what a container may do."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from service.settings import Settings
from tests.support.documents import ROOT

TEXT = (ROOT / "docker-compose.yml").read_text()
DOCUMENT: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
ONE_SHOT = {"models", "engines"}
GATEWAYS = {"gateway", "gateway-gpu"}
EXAMPLE = (ROOT / ".env.example").read_text()
VARIABLE = re.compile(r"\$\{([A-Z0-9_]+):-([^}]*)\}")


def test_by_default_there_are_a_gateway_triton_and_what_writes_its_models() -> None:
    default = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert default == {"models", "triton", "gateway"}


def test_only_the_gateway_is_published_and_grafana_where_it_is_asked_for() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.keys() == GATEWAYS | {"grafana"}
    assert SERVICES["grafana"]["profiles"] == ["monitoring"]
    for [port] in published.values():
        assert re.match(r"(127\.0\.0\.1|\$\{OMNIVEC2_PUBLISH:-127\.0\.0\.1\}):", port)


def test_what_is_not_published_has_no_way_out() -> None:
    assert DOCUMENT["networks"]["backend"] == {"internal": True}
    for name, service in SERVICES.items():
        networks = set(service.get("networks", ()))
        if name in ONE_SHOT:
            assert service["network_mode"] == "none"
        elif "ports" in service:
            assert networks == {"edge", "backend"}
        else:
            assert networks == {"backend"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_can_do_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert service["mem_limit"]
    assert service["pids_limit"] > 0
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & service.keys()
    assert not any("docker.sock" in volume for volume in service.get("volumes", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_says_when_it_is_ready_or_ends(name: str) -> None:
    service = SERVICES[name]
    if name in ONE_SHOT:
        assert service["restart"] == "no"
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"


def test_each_starts_after_what_it_needs_is_ready() -> None:
    needed = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}
    for name in ("triton", "triton-gpu"):
        [condition] = needed[name].values()
        assert condition == {"condition": "service_completed_successfully"}
        [gateway] = [g for g in GATEWAYS if name in needed[g]]
        assert needed[gateway][name] == {"condition": "service_healthy"}


def test_triton_cannot_change_what_it_serves() -> None:
    for name in ("triton", "triton-gpu"):
        assert "--model-control-mode=none" in SERVICES[name]["command"]
        assert all(volume.endswith(":ro") for volume in SERVICES[name]["volumes"])


def test_a_gpu_is_reserved_by_what_builds_plans_and_what_runs_them() -> None:
    reserving = {name for name, service in SERVICES.items() if "deploy" in service}
    assert reserving == {"engines", "triton-gpu"}
    for name in reserving:
        [device] = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


def test_requests_have_time_to_end_before_the_gateway_is_killed() -> None:
    grace = int(SERVICES["gateway"]["stop_grace_period"].removesuffix("s"))
    fields = Settings.model_fields
    draining = sum(field.default for name, field in fields.items() if name.startswith("drain_"))
    assert grace > max(draining, Settings().request_timeout_seconds)


def test_images_are_of_the_releases_that_are_written_down() -> None:
    production = json.loads((ROOT / "deploy/triton/release.json").read_text())["production"]
    defaults = dict(VARIABLE.findall(TEXT))
    assert defaults["TRITON_IMAGE"] == production["image"]
    assert defaults["TENSORRT_IMAGE"] == production["tensorrt_image"]
    assert f":{production['release']}-" in production["tensorrt_image"]


def test_dockerfiles_are_built_on_the_images_that_compose_names() -> None:
    defaults = dict(VARIABLE.findall(TEXT))
    for path in ("deploy/gateway/Dockerfile", "deploy/triton/Dockerfile.cpu"):
        assert f"ARG PYTHON_IMAGE={defaults['PYTHON_IMAGE']}\n" in (ROOT / path).read_text()
    engines = (ROOT / "deploy/tensorrt/Dockerfile").read_text()
    assert f"ARG TENSORRT_IMAGE={defaults['TENSORRT_IMAGE']}\n" in engines


def test_the_example_of_env_has_every_variable_with_its_default() -> None:
    shown = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", EXAMPLE, flags=re.MULTILINE))
    for name, default in VARIABLE.findall(TEXT):
        assert shown[name] == default
    passed = {name for name, value in DOCUMENT["x-settings"].items() if value is None}
    assert shown.keys() == passed | dict(VARIABLE.findall(TEXT)).keys()


def test_every_setting_reaches_the_gateway_or_is_fixed() -> None:
    environment = SERVICES["gateway"]["environment"].keys()
    assert {f"OMNIVEC2_{name.upper()}" for name in Settings.model_fields} <= environment


def test_there_is_no_password_that_everybody_knows() -> None:
    assert SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == (
        "${GRAFANA_ADMIN_PASSWORD:-}"
    )
    assert "exit 1" in SERVICES["grafana"]["entrypoint"][-1]
