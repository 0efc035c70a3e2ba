"""The images of the stack, built without a registry: from a base image made on this machine.

The Dockerfiles are those that everybody builds; only where packages come from is another
place: a directory of files that this machine's pip fetched, served on loopback meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from deploy.compose.container_engine import VerifyError, inspect, run

ROOT = Path(__file__).resolve().parents[2]
SUITE = "bookworm"
PYTHON = (3, 11)
"""Of that Debian, and so of the local base image."""
BASE_PACKAGES = ("ca-certificates", "libpython3.11", "python3", "python3-pip", "python3-venv")
LOCKS = (
    "requirements/build.lock",
    "requirements/serving.lock",
    "requirements/triton.lock",
    "requirements/triton-server.lock",
    "requirements/engines.lock",
)
_LEFT_OUT = (
    "./usr/share/doc/*",
    "./usr/share/locale/*",
    "./usr/share/man/*",
    "./var/cache/apt/*",
    "./var/lib/apt/lists/*",
)
_PACKAGES_PORT = 18765
"""Where packages are served: always the same, or no layer could be taken from an earlier build."""
_BUILD_SECONDS = 900
_FETCH_SECONDS = 600


@dataclass(frozen=True)
class Recipe:
    """How one image is built.

    Attributes:
        tag: what it is called.
        dockerfile: path below the top of the repository.
        arguments: of the build, besides those that all have.
    """

    tag: str
    dockerfile: str
    arguments: tuple[str, ...] = ()


GATEWAY = Recipe(
    "omnivec2-serve:verify",
    "deploy/gateway/Dockerfile",
    # Debian's own Python keeps its headers apart.
    ("BUILD_PACKAGES=g++ python3-dev",),
)
TRITON = Recipe("omnivec2-triton-cpu:verify", "deploy/triton/Dockerfile.cpu")
ENGINES = Recipe("omnivec2-engines:verify", "deploy/tensorrt/Dockerfile")
"""Without NVIDIA's image below it: everything in it but TensorRT."""


def base_image(cache: Path) -> tuple[str, str]:
    """A base image with Python: Debian's, made by debootstrap once and kept as an archive.

    Returns:
        Its tag, and how it came about.

    Raises:
        VerifyError: it cannot be made: without root or without Debian's mirror.
    """
    recipe = hashlib.sha256(repr((SUITE, BASE_PACKAGES, _LEFT_OUT)).encode()).hexdigest()[:12]
    tag = f"omnivec2/python:{SUITE}-{recipe}"
    try:
        inspect(tag)
    except VerifyError:
        pass
    else:
        return tag, "kept from before"
    archive = cache / f"rootfs-{SUITE}-{recipe}.tar"
    how = "from the archive kept before"
    if not archive.exists():
        _bootstrap(archive)
        how = "made by debootstrap"
    run(["docker", "import", archive, tag], seconds=_FETCH_SECONDS)
    return tag, how


def fetch_wheels(cache: Path) -> Path:
    """Fetch every package of the lock files, checked by hash, as this machine's pip is set up.

    Returns:
        The directory of files.

    Raises:
        VerifyError: a package cannot be fetched, or this is not the Python of the images.
    """
    if sys.version_info[:2] != PYTHON:
        wanted = ".".join(map(str, PYTHON))
        raise VerifyError(f"packages are fetched for Python {wanted}: run this with that Python")
    wheels = cache / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    for name in LOCKS:
        lock = ROOT / name
        fetched = wheels / f".{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
        if fetched.exists():
            continue
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        options = ["--no-deps", "--require-hashes", f"--requirement={lock}", f"--dest={wheels}"]
        run([*pip, *options], seconds=_FETCH_SECONDS)
        fetched.touch()
    return wheels


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """Serve a directory on loopback until the block ends; yields its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    handler = partial(Quiet, directory=str(directory))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", _PACKAGES_PORT), handler)
    except OSError:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


def build(recipe: Recipe, base: str, packages: str) -> str:
    """Build an image.

    Args:
        recipe: which.
        base: tag of the base image.
        packages: address of the directory of packages.

    Returns:
        Its tag and its size.

    Raises:
        VerifyError: it cannot be built; with the end of the builder's output.
    """
    arguments = [
        f"{'TENSORRT' if recipe is ENGINES else 'PYTHON'}_IMAGE={base}",
        "PIP_NO_INDEX=1",
        f"PIP_FIND_LINKS={packages}",
        *recipe.arguments,
    ]
    options = [word for argument in arguments for word in ("--build-arg", argument)]
    command = ["docker", "build", "--network", "host", "--tag", recipe.tag, *options]
    run(
        [*command, "--file", recipe.dockerfile, "."],
        seconds=_BUILD_SECONDS,
        variables=builder(),
        cwd=ROOT,
    )
    return f"{recipe.tag}, {image_bytes(recipe.tag) / 1e6:.0f} MB"


def image_bytes(tag: str) -> int:
    """Size of an image on the disk, with its base."""
    return int(inspect(tag)["Size"])


def builder() -> dict[str, str]:
    """Variables that choose the engine's own builder where BuildKit's client is missing."""
    done = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False)
    return {} if done.returncode == 0 else {"DOCKER_BUILDKIT": "0"}


def _bootstrap(archive: Path) -> None:
    if os.geteuid() != 0:
        raise VerifyError("making a base image with debootstrap needs root")
    archive.parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="omnivec2-rootfs-"))
    part = archive.with_suffix(".part")
    try:
        included = f"--include={','.join(BASE_PACKAGES)}"
        run(
            ["debootstrap", "--variant=minbase", included, SUITE, directory], seconds=_FETCH_SECONDS
        )
        left_out = [f"--exclude={pattern}" for pattern in _LEFT_OUT]
        run(["tar", "-C", directory, *left_out, "-cf", part, "."], seconds=_FETCH_SECONDS)
        part.rename(archive)
    finally:
        part.unlink(missing_ok=True)
        shutil.rmtree(directory, ignore_errors=True)
