"""Validate routes of the Gateway API against the models of an npm package, in types and in values.

The models' types, which TypeScript checks, know the names of fields; their validators know patterns
and bounds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy.compose.container_engine import VerifyError, run

GROUP = "gateway.networking.k8s.io/"
_COMPILER = "node_modules/typescript/bin/tsc"
_OPTIONS = ("--strict", "--module", "nodenext", "--target", "es2022", "--skipLibCheck")


def routes(manifests: str) -> list[dict[str, Any]]:
    """Return the objects of the Gateway API among manifests."""
    documents = yaml.safe_load_all(manifests)
    return [d for d in documents if d and d["apiVersion"].startswith(GROUP)]


def program(documents: Sequence[dict[str, Any]]) -> str:
    """Return a TypeScript program that does not compile, or fails, if an object is wrong."""
    lines = []
    for place, document in enumerate(documents):
        version = document["apiVersion"].removeprefix(GROUP)
        fields = {k: v for k, v in document.items() if k not in ("apiVersion", "kind")}
        package = f"@kubernetes-models/gateway-api/{GROUP}{version}"
        lines += [
            f'import {{ {document["kind"]} as Model{place} }} from "{package}";',
            # A literal may have only names that its type has.
            f"const object{place}: ConstructorParameters<typeof Model{place}>[0] = "
            f"{json.dumps(fields)};",
            f"new Model{place}(object{place}).validate();",
        ]
    return "\n".join(lines) + "\n"


def check_routes(documents: Sequence[dict[str, Any]], folder: Path) -> str:
    """Validate objects of the Gateway API.

    Args:
        documents: The objects.
        folder: The folder of the npm packages.

    Returns:
        How many there are, in words.

    Raises:
        VerifyError: One is wrong, or there are none.
    """
    if not documents:
        raise VerifyError("no value set makes a route")
    source = folder / "routes.mts"
    source.write_text(program(documents), "utf-8")
    run(["node", _COMPILER, *_OPTIONS, source.name], cwd=folder, seconds=120)
    run(["node", source.with_suffix(".mjs").name], cwd=folder, seconds=60)
    return f"{len(documents)} routes"
