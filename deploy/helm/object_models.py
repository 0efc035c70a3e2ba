"""Validate rendered manifests against the schemas of Kubernetes and of the operators that they use.

Runs in the environment of requirements/chart.lock, which has the schemas::

    .venv-chart/bin/python -m deploy.helm.object_models 1.29 file.yaml ...

validates Kubernetes' own objects for every version from the one given to the newest, and the
objects of KEDA and of the Prometheus Operator against their models. Objects of the Gateway API are
left to ``deploy.helm.gateway_api``; any other kind is an error. Prints an error per line.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

MODELS: Mapping[str, str] = {
    "keda.sh/v1alpha1": "cloudcoil.models.keda.v1alpha1",
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",
}
"""API version -> the module of its models, classes named by kind."""
ELSEWHERE = "gateway.networking.k8s.io/"


def main() -> int:
    """Validate the files of the command line; return 1 if there are errors."""
    oldest, *files = sys.argv[1:]
    keep_schemas()
    seen: set[str] = set()
    found = [error for file in files for error in file_errors(Path(file), oldest, seen)]
    for error in found:
        sys.stdout.write(error + "\n")
    return int(bool(found))


def keep_schemas() -> None:
    """Keep files of schemas in memory: the validator reads a megabyte for every object."""
    package = importlib.import_module("kubernetes_validate.utils")
    vars(package)["schema_contents"] = functools.cache(package.schema_contents)


def file_errors(file: Path, oldest: str, seen: set[str]) -> Iterator[str]:
    """Yield the errors of a file's objects.

    Args:
        file: The file of manifests.
        oldest: The oldest version of Kubernetes, ``1.29``.
        seen: The objects that were validated before, as JSON; those of this file are added.
    """
    for document in yaml.safe_load_all(file.read_text("utf-8")):
        text = json.dumps(document, sort_keys=True)
        if document is None or text in seen:
            continue
        seen.add(text)
        name = f"{file.name}: {document.get('kind')} {document['metadata']['name']}"
        version = document["apiVersion"]
        if version.startswith(ELSEWHERE):
            continue
        errors = model_errors if version in MODELS else kubernetes_errors
        for error in errors(document, oldest):
            yield f"{name}: {error}"


def versions_from(oldest: str) -> list[str]:
    """Return all versions of Kubernetes whose schemas there are, from the oldest wanted on."""
    newest = int(importlib.import_module("kubernetes_validate").latest_version().split(".")[1])
    return [f"1.{minor}" for minor in range(int(oldest.split(".")[1]), newest + 1)]


def kubernetes_errors(document: Mapping[str, Any], oldest: str) -> Iterator[str]:
    """Yield the errors of an object of Kubernetes; a kind without a schema is one."""
    validator = importlib.import_module("kubernetes_validate")
    for version in versions_from(oldest):
        try:
            validator.validate(document, version, strict=True)
        except validator.SchemaNotFoundError:
            yield f"Kubernetes {version} has no {document['kind']} of {document['apiVersion']}"
        except validator.ValidationError as error:
            where = ".".join(map(str, error.path))
            yield f"Kubernetes {version}: {where}: {error.message}"


def model_errors(document: Mapping[str, Any], oldest: str) -> Iterator[str]:
    """Yield the errors of an operator's object: wrong types, and names that the model lacks."""
    models = importlib.import_module(MODELS[document["apiVersion"]])
    model = getattr(models, document["kind"], None)
    if model is None:
        yield f"{document['apiVersion']} has no {document['kind']}"
        return
    try:
        read = model.model_validate(document)
    except ValueError as error:
        yield " ".join(str(error).split())
        return
    # The models accept further names and drop them.
    yield from unknown_names(document, read.model_dump(mode="json", by_alias=True))


def unknown_names(given: Any, known: Any, where: str = "") -> Iterator[str]:
    """Yield the paths of names in an object that its model does not have.

    Args:
        given: The object.
        known: The same object, as the model read it.
        where: The path of both.
    """
    if isinstance(given, Mapping):
        for name, value in given.items():
            path = f"{where}.{name}".lstrip(".")
            if not isinstance(known, Mapping) or name not in known:
                yield f"{path}: unknown name"
            else:
                yield from unknown_names(value, known[name], path)
    elif isinstance(given, list):
        for place, value in enumerate(given):
            inner = known[place] if isinstance(known, list) and place < len(known) else None
            yield from unknown_names(value, inner, f"{where}[{place}]")


if __name__ == "__main__":
    sys.exit(main())
