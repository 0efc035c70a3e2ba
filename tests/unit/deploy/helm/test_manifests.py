"""What the chart renders, from its golden files, keeps the promises of its documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from deploy.helm.value_sets import GOLDEN, VALUE_SETS
from tests.support.documents import ROOT

Object = Mapping[str, Any]

RENDERED: Mapping[str, list[Object]] = {
    path.stem: [d for d in yaml.safe_load_all(path.read_text("utf-8")) if d]
    for path in sorted(GOLDEN.glob("*.yaml"))
}
ALL = [document for documents in RENDERED.values() for document in documents]


def of_kind(kind: str, documents: list[Object] = ALL) -> list[Object]:
    return [document for document in documents if document["kind"] == kind]


def pods(documents: list[Object] = ALL) -> Iterator[Object]:
    """Yield the specs of all pods."""
    for document in documents:
        if document["kind"] == "Pod":
            yield document["spec"]
        elif "template" in document.get("spec", {}):
            yield document["spec"]["template"]["spec"]


def containers() -> Iterator[Object]:
    for pod in pods():
        yield from pod.get("initContainers", [])
        yield from pod["containers"]


def ports(value: Any) -> Iterator[Object]:
    """Yield every entry of every list named ``ports``, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "ports":
                yield from inner
            else:
                yield from ports(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from ports(inner)


def test_there_is_a_golden_file_for_every_value_set() -> None:
    assert RENDERED.keys() == VALUE_SETS.keys()


def test_every_port_has_a_protocol() -> None:
    found = list(ports(ALL))
    assert found
    assert all("protocol" in port for port in found)


def test_selectors_hold_nothing_that_an_upgrade_changes() -> None:
    allowed = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component")}
    for document in [*of_kind("Deployment"), *of_kind("StatefulSet")]:
        selector = document["spec"]["selector"]["matchLabels"]
        assert selector.keys() <= allowed | {"omnivec2/pool"}
        assert selector.items() <= document["spec"]["template"]["metadata"]["labels"].items()


def test_pods_are_restricted() -> None:
    for pod in pods():
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        context = pod["securityContext"]
        assert context["runAsNonRoot"]
        assert context["runAsUser"] == context["fsGroup"] == 10001
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers():
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"].keys() <= container["resources"]["limits"].keys()


def test_every_volume_that_is_mounted_is_there_and_is_bounded() -> None:
    for document in [*of_kind("Deployment"), *of_kind("StatefulSet")]:
        spec = document["spec"]
        claims = {c["metadata"]["name"] for c in spec.get("volumeClaimTemplates", [])}
        pod = spec["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert claims.isdisjoint(volumes)
        mounted = {
            mount["name"]
            for container in [*pod.get("initContainers", []), *pod["containers"]]
            for mount in container["volumeMounts"]
        }
        assert mounted == claims | volumes.keys()
        assert all(v["emptyDir"].get("sizeLimit") for v in volumes.values() if "emptyDir" in v)


def test_grace_periods_are_longer_than_delays_and_drains() -> None:
    for document in of_kind("StatefulSet"):
        pod = document["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        delay = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        (option,) = (a for a in container["args"] if a.startswith("--exit-timeout-secs="))
        drain = int(option.partition("=")[2])
        assert pod["terminationGracePeriodSeconds"] > delay + drain
    for documents in RENDERED.values():
        (deployment,) = of_kind("Deployment", documents)
        config = next(d["data"] for d in of_kind("ConfigMap", documents) if "data" in d)
        names = ("OMNIVEC2_DRAIN_DELAY_SECONDS", "OMNIVEC2_DRAIN_SECONDS")
        # A second of late requests, and seven until stuck threads are given up.
        wait = sum(float(config[name]) for name in names) + 8
        assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > wait


def test_what_a_scaler_manages_has_no_number_of_replicas() -> None:
    for documents in RENDERED.values():
        scalers = [*of_kind("HorizontalPodAutoscaler", documents)]
        scalers += of_kind("ScaledObject", documents)
        targets = {
            (s["spec"]["scaleTargetRef"]["kind"], s["spec"]["scaleTargetRef"]["name"])
            for s in scalers
        }
        for document in [*of_kind("Deployment", documents), *of_kind("StatefulSet", documents)]:
            scaled = (document["kind"], document["metadata"]["name"]) in targets
            assert ("replicas" in document["spec"]) is not scaled
            targets.discard((document["kind"], document["metadata"]["name"]))
        assert not targets


def test_triton_is_reached_by_gateways_and_prometheus_only() -> None:
    policies = [p for p in of_kind("NetworkPolicy") if p["metadata"]["name"].endswith("-triton")]
    assert policies
    for policy in policies:
        gateways, prometheus = policy["spec"]["ingress"]
        (peer,) = gateways["from"]
        assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "gateway"
        assert [port["port"] for port in prometheus["ports"]] == ["metrics"]
        assert prometheus["from"]


def test_gateways_ask_the_headless_service_of_every_pool() -> None:
    for documents in RENDERED.values():
        if not of_kind("StatefulSet", documents):
            continue
        (config,) = of_kind("ConfigMap", documents)
        endpoints = config["data"]["OMNIVEC2_TRITON_ENDPOINTS"].split(",")
        services = {s["metadata"]["name"]: s["spec"] for s in of_kind("Service", documents)}
        pools = {p["spec"]["serviceName"]: p["spec"] for p in of_kind("StatefulSet", documents)}
        assert {endpoint.partition(":")[0] for endpoint in endpoints} == pools.keys()
        for host, pool in pools.items():
            assert f"{host}:8001" in endpoints
            assert services[host]["clusterIP"] == "None"
            assert 8001 in [port["port"] for port in services[host]["ports"]]
            labels = pool["template"]["metadata"]["labels"]
            assert services[host]["selector"].items() <= labels.items()
            others = [p for name, p in pools.items() if name != host]
            for other in others:
                taken = other["template"]["metadata"]["labels"]
                assert not services[host]["selector"].items() <= taken.items()


def test_a_head_of_a_pool_is_loaded_by_the_name_of_its_model() -> None:
    (pool,) = (
        s for s in of_kind("StatefulSet") if s["metadata"]["name"].endswith("-triton-tables")
    )
    arguments = pool["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--model-control-mode=explicit" in arguments
    models = {a.partition("=")[2] for a in arguments if a.startswith("--load-model=")}
    assert models == {"tabular_income", "tabular_marketing"}
    shipped = ROOT / "checkpoints" / "reference" / "models"
    assert all((shipped / model).is_dir() for model in models)


def test_settings_are_written_as_the_gateway_reads_them() -> None:
    config = next(d for d in of_kind("ConfigMap", RENDERED["production"]))
    expected = {
        "OMNIVEC2_MAX_PENDING_BYTES": "1073741824",
        "OMNIVEC2_REFRESH_SECONDS": "0.5",
        "OMNIVEC2_REQUIRED": "image/classification,text/sentiment",
        # Of the limit of four CPUs.
        "OMNIVEC2_INFERENCE_THREADS": "4",
        "OMNIVEC2_HOST_THREADS": "4",
    }
    assert expected.items() <= config["data"].items()
