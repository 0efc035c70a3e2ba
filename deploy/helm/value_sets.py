"""Sets of values with which the chart is rendered, and those that it has to refuse."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
VALUE_SETS = {path.stem: path for path in sorted((HERE / "value_sets").glob("*.yaml"))}
GOLDEN = HERE / "golden"

NEEDS: Mapping[str, str] = {"image-volume": "1.31"}
"""The oldest Kubernetes of a value set, where it is newer than the chart's."""


REFUSED: Mapping[str, str] = {
    # Of the schema.
    "mode=cloud": "mode",
    "replicas=3": "replicas",
    "gateway.replicas=-1": "minimum",
    "gateway.replicas=two": "integer",
    "gateway.image.digest=latest": "pattern",
    "gateway.settings.max_pending_requests=0": "max_pending_requests",
    "gateway.settings.max_pending_request=5": "max_pending_request",
    "gateway.settings.port=80": "port",
    "gateway.settings.engine_precision=fp8": "engine_precision",
    "gateway.autoscaling.kind=vpa": "kind",
    "gateway.resources.limits.memory=much": "memory",
    "gateway.drain.seconds=0": "seconds",
    "gateway.gpu.resource=gpu": "resource",
    "commonLabels.app\\.kubernetes\\.io/name=mine": "app.kubernetes.io/name",
    "models.from=ftp": "from",
    "models.pull.address=https://example.com/model": "address",
    "triton.pools.Big.replicas=1": "Big",
    "triton.pools.default.plans.precision=int4": "precision",
    "triton.pools.default.replica=2": "replica",
    "sharedState.url=mysql://db": "url",
    "service.port=70000": "port",
    "httpRoute.enabled=true": "parentRefs",
    "ingress.enabled=true": "hosts",
    "monitoring.serviceMonitor.interval=often": "interval",
    # Of the templates: combinations.
    "models.from=bucket,models.bucket.url=s3://a/b": "mode",
    "models.from=claim": "models.claim.name",
    "models.from=pull": "models.pull.address",
    "grpcRoute.enabled=true,grpcRoute.parentRefs[0].name=a,gateway.grpc.enabled=false": "grpc",
    "mode=triton,triton.pools.default=null": "pool",
    "mode=triton,triton.pools.default.plans.build=true": "GPU",
    "sharedState.url=redis://a,sharedState.existingSecret.name=b": "not both",
}
"""Values on Helm's command line -> a word of the message with which they are refused."""

_INSTALLS = re.compile(r"^helm (?:upgrade --install|install|upgrade) (.*)$", re.MULTILINE)


def documented_installs(text: str) -> list[list[str]]:
    """Return the options of every ``helm install`` or ``upgrade`` in a document's code blocks.

    Args:
        text: The document; a line that ends in a backslash goes on in the next.
    """
    blocks = re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    joined = re.sub(r"\\\n\s*", "", "".join(blocks))
    return [_options(line.split()) for line in _INSTALLS.findall(joined)]


def _options(words: list[str]) -> list[str]:
    """Return the options of a command that ``helm template`` has as well."""
    left_out = {"--create-namespace", "--wait", "--reuse-values", "--reset-then-reuse-values"}
    taking = {"--namespace", "-n", "--timeout"}
    kept: list[str] = []
    rest = iter(words[2:])  # the release and the chart
    for word in rest:
        if word in taking:
            next(rest)
        elif word not in left_out:
            kept.append(word.strip("'\""))
    return kept
