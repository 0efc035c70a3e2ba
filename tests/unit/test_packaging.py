"""Declared, locked and imported packages agree, and serving stays free of torch."""

from __future__ import annotations

import ast
import functools
import re
import sys
import tomllib
import zlib
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution, distributions
from importlib.metadata import packages_distributions as read_packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from omnivec2.preprocess.formats.modality_libraries import LIBRARIES
from omnivec2.spec import Modality

ROOT = Path(__file__).resolve().parents[2]
LOCKS_WITH_HASHES = [
    path for path in sorted((ROOT / "requirements").glob("*.lock")) if "--hash=" in path.read_text()
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
SERVING = [*PROJECT["dependencies"], *(line for m in Modality for line in EXTRAS[m.value])]
"""What `make serve` installs: the gateway, and the libraries of all modalities."""
OURS = {"omnivec2", "omnivec2_api", "omnivec2_cli", "service", "export", "rollout"}

# Used without being imported by name: plugins and engines that a library of ours looks for.
PLUGINS = {
    "httptools",  # uvicorn's HTTP parser
    "imagecodecs",  # tifffile's compressions
    "pylibjpeg",  # pydicom's JPEG 2000 ...
    "pylibjpeg-openjpeg",  # ... through it
    "python-multipart",  # starlette's forms
    "uvloop",  # uvicorn's event loop
}

# Serving code that only runs with an extra installed.
NOT_SERVING = ("omnivec2/network", "omnivec2/training", "omnivec2/sharing", "export")


packages_distributions = functools.cache(read_packages_distributions)
"""Reads the files of every installed package, which takes about a second."""


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@functools.cache
def _files(package: str) -> frozenset[str]:
    """The files that a distribution has installed."""
    return frozenset(str(file) for file in distribution(package).files or ())


def _locked(name: str) -> dict[str, str]:
    """Name -> version of a lock file."""
    pins = re.findall(r"^([\w.-]+)==([^\s;\\]+)", (ROOT / name).read_text(), flags=re.MULTILINE)
    return {canonicalize_name(package): version for package, version in pins}


def _declared(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def _imports(folder: str) -> Iterator[str]:
    """Modules imported anywhere under a folder, also inside functions."""
    for path in (ROOT / folder).rglob("*.py"):
        if folder == "omnivec2" and path.relative_to(ROOT).as_posix().startswith(NOT_SERVING):
            continue
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                yield node.module


def _imports_on_loading(folder: str) -> Iterator[str]:
    """Modules imported by loading any module of a folder, not only once a function runs."""
    for path in (ROOT / folder).rglob("*.py"):
        for node in _parsed(path).body:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                yield node.module


def _third_party(*folders: str) -> set[str]:
    """Distributions that the code of these folders imports."""
    return _distributions({name for folder in folders for name in _imports(folder)})


def _distributions(names: set[str]) -> set[str]:
    owners = packages_distributions()
    known = OURS | set(sys.stdlib_module_names)
    return {
        canonicalize_name(_owner(name, owners.get(top, [top])))
        for name in names
        if (top := name.partition(".")[0]) not in known
    }


def _owner(module: str, owners: list[str]) -> str:
    """The distribution a module is of; several may share its top-level name."""
    if len(set(owners)) == 1:
        return owners[0]
    path = module.replace(".", "/")
    for owner in owners:
        if any(file.startswith((f"{path}/", f"{path}.")) for file in _files(owner)):
            return owner
    raise AssertionError(f"none of {', '.join(owners)} has {module}")


def test_the_serving_lock_names_neither_torch_nor_a_cuda_library() -> None:
    forbidden = re.compile(r"torch|nvidia|cuda|^triton$|tensorrt")
    assert [name for name in _locked("requirements/serving.lock") if forbidden.search(name)] == []


def test_the_development_lock_names_no_cuda_library() -> None:
    locked = _locked("requirements/dev.lock")
    assert [name for name in locked if re.search(r"nvidia|cuda|^triton$", name)] == []
    assert locked["torch"] == "2.13.0"


@pytest.mark.parametrize(
    "lock",
    [
        *("requirements/serving.lock", "requirements/triton.lock"),
        *("requirements/triton-server.lock", "requirements/peers.lock"),
        *("requirements/clients.lock", "requirements/ray.lock"),
    ],
)
def test_every_file_that_a_server_runs_has_a_hash(lock: str) -> None:
    text = (ROOT / lock).read_text()
    pinned = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert pinned
    assert all("--hash=sha256:" in requirement for requirement in pinned)


def test_both_locks_pin_the_same_versions() -> None:
    serving, development = _locked("requirements/serving.lock"), _locked("requirements/dev.lock")
    assert {name: development.get(name) for name in serving} == serving


def test_tritons_backend_runs_the_gateways_onnxruntime_on_an_older_numpy() -> None:
    serving, backend = _locked("requirements/serving.lock"), _locked("requirements/triton.lock")
    assert backend["onnxruntime"] == serving["onnxruntime"]
    assert backend["numpy"].startswith("1.")


def test_peers_run_the_same_engines_and_codecs_as_the_service() -> None:
    serving, peers = _locked("requirements/serving.lock"), _locked("requirements/peers.lock")
    shared = {"numpy", "onnxruntime", "openvino", "pillow", "uvloop"} & serving.keys()
    assert {name: peers[name] for name in shared} == {name: serving[name] for name in shared}


def test_clusters_run_what_the_service_runs() -> None:
    serving, cluster = _locked("requirements/serving.lock"), _locked("requirements/ray.lock")
    shared = serving.keys() & cluster.keys()
    assert _declared(PROJECT["dependencies"]) <= cluster.keys()
    assert {name: cluster[name] for name in shared} == {name: serving[name] for name in shared}


@pytest.mark.parametrize("others", ["peers", "clients"])
def test_every_peer_and_client_is_locked(others: str) -> None:
    listed = (ROOT / "requirements" / f"{others}.in").read_text().splitlines()
    declared = _declared([line.partition(" ")[0] for line in listed if not line.startswith("#")])
    assert declared <= _locked(f"requirements/{others}.lock").keys()


def test_the_image_that_builds_plans_has_what_drawing_random_inputs_imports() -> None:
    # Parquet and XLSX are read by modules that are loaded for such files only.
    of_files = {"pyarrow", "python-calamine"}
    imported = _distributions(set(_imports_on_loading("omnivec2/preprocess"))) - of_files
    assert imported - _locked("requirements/engines.lock").keys() == set()


def test_every_serving_dependency_is_locked() -> None:
    assert _declared(SERVING) <= _locked("requirements/serving.lock").keys()


def test_what_serving_imports_is_a_serving_dependency() -> None:
    # Of extras: without them, the settings and options that need them are refused.
    serving = _declared(SERVING) | {"redis", "ray"}
    assert (
        _third_party("omnivec2", "omnivec2_api", "omnivec2_cli", "service") - serving - {"torch"}
        == set()
    )


def test_every_serving_dependency_is_used() -> None:
    used = _third_party("omnivec2", "omnivec2_api", "omnivec2_cli", "service", "export") | PLUGINS
    assert _declared(SERVING) - used == set()


def _module_files(name: str) -> Iterator[Path]:
    """The files of a module of ours: itself, and ``__init__`` of a package."""
    path = ROOT / name.replace(".", "/")
    yield from (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file())


def _imported_by(module: str) -> set[str]:
    """Modules that a module imports, directly or through modules of ours, also in functions."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        for path in _module_files(waiting.pop()):
            for node in ast.walk(_parsed(path)):
                names: list[str] = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
                new = {name for name in names if name not in found}
                found |= new
                waiting += [name for name in new if name.startswith("omnivec2.")]
    return found


@pytest.mark.parametrize("modality", Modality)
def test_a_modality_imports_what_its_extra_installs(modality: Modality) -> None:
    extra, base = _declared(EXTRAS[modality.value]), _declared(PROJECT["dependencies"])
    imported = _distributions(_imported_by(f"omnivec2.preprocess.{modality.value}"))
    # Example files are drawn with Pillow, by modalities that have it.
    assert imported - base - extra - {"pillow"} == set()
    unused = extra - imported - PLUGINS
    assert unused == ({"pillow"} if modality is Modality.HYPERSPECTRAL else set())  # for masks


@pytest.mark.parametrize("modality", Modality)
def test_the_modules_of_a_modality_are_those_of_its_extra(modality: Modality) -> None:
    owners = packages_distributions()
    distributions = {canonicalize_name(o) for name in LIBRARIES[modality] for o in owners[name]}
    bundled = {"lazrs"}  # the extra of another one: laspy[lazrs]
    assert distributions - bundled == _declared(EXTRAS[modality.value])


def test_all_installs_what_the_modalities_install() -> None:
    lines = {line for modality in Modality for line in EXTRAS[modality.value]}
    assert sorted(EXTRAS["all"]) == sorted(lines)


def test_what_training_and_export_import_is_declared() -> None:
    weights = _locked("requirements/weights.lock").keys()
    declared = _declared(SERVING) | weights
    optional = [*EXTRAS["mlflow"], *EXTRAS["wandb"], *EXTRAS["bertscore"]]
    training = _declared([*EXTRAS["train"], *optional])
    assert _third_party("omnivec2/network", "omnivec2/training") - declared <= training
    assert _third_party("omnivec2/sharing") - declared <= _declared(EXTRAS["hub"])
    exporting = _declared([*EXTRAS["export"], *EXTRAS["gpu"], *EXTRAS["openvino"]])
    assert _third_party("export") - declared <= exporting


def test_no_locked_package_is_under_the_gpl() -> None:
    locked = {
        *_locked("requirements/serving.lock"),
        *_locked("requirements/dev.lock"),
        *_locked("requirements/weights.lock"),
        *_locked("requirements/tensorrt.lock"),
    }
    installed = [d for d in distributions() if canonicalize_name(d.name) in locked]
    assert installed
    assert [d.name for d in installed if _is_gpl(d)] == []


def _is_gpl(distribution: Distribution) -> bool:
    """Whether metadata names the GNU GPL (the lesser GPL, which allows linking, is not meant)."""
    metadata = distribution.metadata
    stated = [
        "".join(metadata.get_all("License-Expression") or []),
        "".join(metadata.get_all("License") or []).partition("\n")[0],
        *(c for c in metadata.get_all("Classifier") or [] if c.startswith("License")),
    ]
    return any(
        re.search(r"(?<!L)GPL|(?<!LESSER )GENERAL PUBLIC LICENSE", line.upper()) for line in stated
    )


def test_the_shipped_network_takes_at_most_46_mib_in_git() -> None:
    files = [path for path in (ROOT / "checkpoints/reference").rglob("*") if path.is_file()]
    stored = sum(len(zlib.compress(path.read_bytes())) for path in files)
    assert 0 < stored <= 46 * 2**20


@pytest.mark.parametrize("path", LOCKS_WITH_HASHES, ids=lambda path: path.stem)
def test_every_pin_of_a_lock_file_with_hashes_has_one(path: Path) -> None:
    pins = re.findall(
        r"^[\w.-]+==[^\n]*(?:\n    --hash=sha256:[0-9a-f]{64}[^\n]*)*", path.read_text(), re.M
    )
    assert pins
    assert [pin for pin in pins if "--hash=" not in pin] == []
