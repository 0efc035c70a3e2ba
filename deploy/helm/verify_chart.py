"""Verify the Helm chart with packages of npm, PyPI and Debian only: there is no cluster here.

Lints the chart, renders it with every value set and with every documented installation, looks for
values that it should refuse, validates what it renders against the schemas of Kubernetes and of the
operators, runs Checkov on it, compares it with the files in ``golden``, and runs the gateway's pod
with podman::

    python -m deploy.helm.verify_chart            --update writes the golden files anew

Prints a line per step. With OMNIVEC2_SKIP_COMPOSE=1 no container is run, and it says so.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from deploy.compose import container_engine, container_images
from deploy.compose.container_engine import VerifyError, run
from deploy.compose.container_images import GATEWAY, ROOT
from deploy.compose.verify import CACHE as IMAGES
from deploy.compose.verify import SKIP, print_line, run_step
from deploy.helm import gateway_api, pod, policy, programs
from deploy.helm.programs import CHART, Programs
from deploy.helm.value_sets import GOLDEN, NEEDS, REFUSED, VALUE_SETS, documented_installs
from loadtests.support.free_ports import free_ports

CACHE = ROOT / ".cache" / "chart"
OLDEST = "1.29"
DOCUMENTS = (ROOT / "docs" / "kubernetes.md", CHART / "README.md")
_POD_VALUES = (
    "gateway.replicas=1,gateway.image.repository=docker.io/library/omnivec2-serve,"
    "gateway.image.tag=verify,gateway.image.pullPolicy=Never,"
    # Engines are measured for each head: two are enough here.
    f"gateway.settings.only={{{','.join(pod.ROUTES)}}}"
)


def main() -> int:
    """Run every step; return 1 if one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help="write the golden files anew")
    parser.add_argument(
        "--environment",
        type=Path,
        default=ROOT / ".venv-chart",
        help="the environment of requirements/chart.lock",
    )
    arguments = parser.parse_args()
    began = time.monotonic()
    try:
        verify_manifests(arguments.environment, update=arguments.update)
        if os.environ.get(SKIP) == "1":
            print_line("SKIPPED", 0, f"no container is run: {SKIP}=1")
        else:
            with ExitStack() as cleanup:
                verify_pod(cleanup)
    except VerifyError as error:
        print_line("FAIL", time.monotonic() - began, str(error))
        return 1
    print_line("OK", time.monotonic() - began, "everything")
    return 0


def verify_manifests(environment: Path, *, update: bool) -> None:
    """Run the steps that need no container.

    Args:
        environment: The environment of requirements/chart.lock.
        update: Whether the golden files are written instead of compared.

    Raises:
        VerifyError: A step failed.
    """
    tools = run_step("Helm is installed", lambda: programs.install(CACHE), lambda t: t.version)
    run_step("the chart is linted with every value set", lambda: lint_all(tools))
    folder = CACHE / "rendered"
    run_step("every value set is rendered", lambda: render_all(tools, folder))
    run_step("nonsense is refused", lambda: check_refusals(tools))
    run_step("documented installations are rendered", lambda: render_documented(tools))
    run_step("dashboards and alerts are those of deploy/", lambda: check_monitoring(tools))
    run_step("the package renders the same", lambda: check_package(tools))
    run_step("golden files", lambda: compare_golden(folder, update=update))
    run_step("objects fit their schemas", lambda: check_objects(environment, folder))
    rendered = "\n---\n".join(path.read_text("utf-8") for path in sorted(folder.glob("*.yaml")))
    run_step(
        "routes fit the Gateway API",
        lambda: gateway_api.check_routes(gateway_api.routes(rendered), tools.folder),
    )
    checkov = environment / "bin" / "checkov"
    run_step("policies", lambda: policy.check_policies(checkov, folder))


def lint_all(tools: Programs) -> str:
    """Run Helm's linter with the defaults and every value set."""
    tools.lint()
    for path in VALUE_SETS.values():
        tools.lint(["--values", path])
    return f"the defaults and {len(VALUE_SETS)} value sets"


def render_all(tools: Programs, folder: Path) -> str:
    """Render the chart with every value set, into a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.yaml"):
        left.unlink()
    for name, path in VALUE_SETS.items():
        (folder / f"{name}.yaml").write_text(tools.render(["--values", path]), "utf-8")
    return ", ".join(VALUE_SETS)


def check_refusals(tools: Programs) -> str:
    """Check that Helm refuses values that make no sense, with a message that names them.

    Raises:
        VerifyError: Something is rendered, or the message does not say what is wrong.
    """
    for values, word in REFUSED.items():
        try:
            tools.render(["--set", values])
        except VerifyError as error:
            if word not in str(error):
                raise VerifyError(f"{values}: expected {word!r} in: {error}") from error
        else:
            raise VerifyError(f"{values} is not refused")
    return f"{len(REFUSED)} values"


def render_documented(tools: Programs) -> str:
    """Render the chart as every ``helm install`` and ``helm upgrade`` of the documents does.

    Raises:
        VerifyError: One cannot be rendered, or none is documented.
    """
    commands = [
        options
        for document in DOCUMENTS
        for options in documented_installs(document.read_text("utf-8"))
    ]
    if not commands:
        raise VerifyError("no document has a line that begins with `helm install`")
    for options in commands:
        # Files of values are named as in the documents: relative to the repository.
        run([tools.helm, "template", "documented", CHART, *options], cwd=ROOT)
    return f"{len(commands)} commands"


def check_monitoring(tools: Programs) -> str:
    """Check that dashboards and alerts in the cluster are those of the repository.

    Raises:
        VerifyError: One differs, or is missing.
    """
    switches = ("dashboards", "prometheusRule", "serviceMonitor")
    values = ",".join(f"monitoring.{name}.enabled=true" for name in switches)
    documents = [d for d in yaml.safe_load_all(tools.render(["--set", values])) if d]
    maps = [d["data"] for d in documents if d["kind"] == "ConfigMap" and "-dashboard-" in str(d)]
    shown = {name.removeprefix("omnivec2-"): text for data in maps for name, text in data.items()}
    shown = {name: text for name, text in shown.items() if name.endswith(".json")}
    kept = {p.name: p for p in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")}
    if shown.keys() != kept.keys():
        raise VerifyError(f"dashboards differ: {sorted(shown.keys() ^ kept.keys())}")
    for name, path in kept.items():
        if json.loads(shown[name]) != json.loads(path.read_text("utf-8")):
            raise VerifyError(f"{name} differs from {path}")
    (rule,) = (d["spec"] for d in documents if d["kind"] == "PrometheusRule")
    alerts = ROOT / "deploy" / "prometheus" / "alerts.yml"
    if rule != yaml.safe_load(alerts.read_text("utf-8")):
        raise VerifyError(f"the PrometheusRule differs from {alerts}")
    return f"{len(kept)} dashboards, {sum(len(g['rules']) for g in rule['groups'])} alerts"


def compare_golden(folder: Path, *, update: bool) -> str:
    """Compare what was rendered with the golden files, or write them.

    Raises:
        VerifyError: They differ; with the first lines of the difference.
    """
    GOLDEN.mkdir(exist_ok=True)
    rendered = {path.name: path.read_text("utf-8") for path in folder.glob("*.yaml")}
    if update:
        for path in GOLDEN.glob("*.yaml"):
            path.unlink()
        for name, text in rendered.items():
            (GOLDEN / name).write_text(text, "utf-8")
        return "written"
    golden = {path.name: path.read_text("utf-8") for path in GOLDEN.glob("*.yaml")}
    for name in sorted(rendered.keys() | golden.keys()):
        lines = difflib.unified_diff(
            golden.get(name, "").splitlines(), rendered.get(name, "").splitlines(), lineterm=""
        )
        if shown := list(lines)[2:42]:
            raise VerifyError(
                f"{name} differs; if it should, run `make chart-verify ARGS=--update`:\n"
                + "\n".join(shown)
            )
    return f"{len(golden)} are the same"


def check_objects(environment: Path, folder: Path) -> str:
    """Validate every object against its schemas, and check that the check sees mistakes.

    Raises:
        VerifyError: One does not fit, or a mistake is not seen.
    """
    python = environment / "bin" / "python"
    command: list[str | Path] = [python, "-m", "deploy.helm.object_models"]
    sample = CACHE / "kserve.yaml"
    sample.write_text(yaml.safe_dump(kserve_pod()), "utf-8")
    for oldest in sorted({OLDEST, *NEEDS.values()}):
        files = [folder / f"{n}.yaml" for n in VALUE_SETS if NEEDS.get(n, OLDEST) == oldest]
        files += [sample] if oldest == OLDEST else []
        run([*command, oldest, *files], cwd=ROOT, seconds=300)
    wrong = CACHE / "wrong.yaml"
    wrong.write_text(
        yaml.safe_dump_all(
            [
                {"apiVersion": "autoscaling/v2beta2", "kind": "Gone", "metadata": {"name": "a"}},
                {
                    "apiVersion": "keda.sh/v1alpha1",
                    "kind": "ScaledObject",
                    "metadata": {"name": "a"},
                    "spec": {"scaleTargetRef": {"name": "b"}, "triggers": [], "misspelt": 1},
                },
            ]
        ),
        "utf-8",
    )
    try:
        run([*command, OLDEST, wrong], cwd=ROOT)
    except VerifyError as error:
        if "has no Gone" in str(error) and "spec.misspelt: unknown name" in str(error):
            return f"Kubernetes {OLDEST} to the newest known, KEDA, Prometheus Operator"
        raise
    raise VerifyError("an unknown kind and a misspelt name are not seen")


def kserve_pod() -> dict[str, Any]:
    """Return the pod of KServe's sample: its containers and volumes are those of Kubernetes."""
    text = (ROOT / "deploy" / "kserve" / "serving.yaml").read_text("utf-8")
    runtime = next(d for d in yaml.safe_load_all(text) if d["kind"] == "ServingRuntime")
    spec = {name: runtime["spec"][name] for name in ("containers", "volumes")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "kserve"}, "spec": spec}


def check_package(tools: Programs) -> str:
    """Check that the packaged chart, which has only its own files, renders the same.

    Raises:
        VerifyError: It does not.
    """
    folder = CACHE / "package"
    folder.mkdir(parents=True, exist_ok=True)
    run([tools.helm, "package", CHART, "--destination", folder])
    (package,) = folder.glob("*.tgz")
    dashboards = "monitoring.dashboards.enabled=true"
    values: list[str | Path] = ["--values", VALUE_SETS["production"], "--set", dashboards]
    same = tools.render(values, chart=package) == tools.render(values)
    size = package.stat().st_size
    package.unlink()
    if not same:
        raise VerifyError("the package renders other manifests than the folder")
    return f"{size / 1e3:.0f} kB"


def verify_pod(cleanup: ExitStack) -> None:
    """Build the gateway's image and run its pod.

    Args:
        cleanup: The stack of callbacks that stop what is started.

    Raises:
        VerifyError: A step failed.
    """
    tools = programs.install(CACHE)
    run_step("podman is installed", pod.install)
    run_step("a Docker engine is installed", container_engine.install)
    manifests = tools.render(["--set", _POD_VALUES])
    ports = free_ports(3)
    file = CACHE / "pod.yaml"
    file.write_text(pod.for_this_machine(manifests, ports), "utf-8")
    gateway = pod.Pod(file, ports[0])
    with container_engine.running(IMAGES / "dockerd.log"):
        run_step("the gateway's image", build_image)
        run_step("podman has it", lambda: gateway.take_image(GATEWAY.tag))
    cleanup.callback(gateway.remove, f"docker.io/library/{GATEWAY.tag}")
    with pod.logs_of_failure(gateway):
        run_step("its pod becomes ready", gateway.play, lambda s: f"after {s:.0f} s")
        run_step("it answers", lambda: pod.check_answers(gateway))
        run_step("it is restricted", lambda: pod.check_restrictions(gateway))
        run_step("it can pull checkpoints", lambda: pod.check_stores(gateway))
        run_step("`helm test`", lambda: pod.run_helm_test(manifests, gateway.url)[:200])
        run_step("it ends by itself", lambda: gateway.stop(grace_seconds(manifests)))


def build_image() -> str:
    """Build the gateway's image as ``make compose-verify`` does; layers it made are used again."""
    base, _ = container_images.base_image(IMAGES)
    with container_images.served(container_images.fetch_wheels(IMAGES)) as address:
        return container_images.build(GATEWAY, base, address)


def grace_seconds(manifests: str) -> int:
    """Return the grace period of the Deployment among manifests."""
    documents = [d for d in yaml.safe_load_all(manifests) if d]
    (deployment,) = (d for d in documents if d["kind"] == "Deployment")
    return int(deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"])


if __name__ == "__main__":
    sys.exit(main())
