"""The images of the stack, built without a registry: from a base image made on this machine.

The Dockerfiles are the shipped ones; only packages come from another place: a directory of
files that this machine's pip has fetched, served on loopback during the build.
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
"""The Python of that Debian, and so of the local base image."""
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
"""The port of the packages: always the same, so that layers of earlier builds are reused."""
_BUILD_SECONDS = 900
_FETCH_SECONDS = 600


@dataclass(frozen=True)
class Recipe:
    """The recipe of one image.

    Attributes:
        tag: The image's tag.
        dockerfile: The path of the Dockerfile, relative to the repository.
        arguments: The build arguments besides those of all images.
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
    """Make a base image with Debian's Python by debootstrap, once; it is kept as an archive.

    Args:
        cache: The directory of the archive.

    Returns:
        The tag, and in words where the image is from.

    Raises:
        VerifyError: It cannot be made, for lack of root or of Debian's mirror.
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
    """Fetch every package of the lock files, checked by hash, with this machine's pip settings.

    Args:
        cache: The directory below which packages are kept.

    Returns:
        The directory of the packages.

    Raises:
        VerifyError: A package cannot be fetched, or this is not the Python of the images.
    """
    if sys.version_info[:2] != PYTHON:
        wanted = ".".join(map(str, PYTHON))
        raise VerifyError(f"packages are fetched for Python {wanted}: run this with that Python")
    wheels = cache / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    for name in LOCKS:
        lock = ROOT / name
        fetched = wheels / f".{lock.name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
        if fetched.exists():
            continue
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        options = ["--no-deps", "--require-hashes", f"--requirement={lock}", f"--dest={wheels}"]
        run([*pip, *options], seconds=_FETCH_SECONDS)
        fetched.touch()
    return wheels


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """Serve a directory on loopback until the block ends; yield its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Drop the message."""

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
        recipe: The recipe of the image.
        base: The tag of the base image.
        packages: The address of the directory of packages.

    Returns:
        The image's tag and size, in words.

    Raises:
        VerifyError: It cannot be built; with the end of the builder's output.
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
        variables=builder_variables(),
        cwd=ROOT,
    )
    return f"{recipe.tag}, {image_bytes(recipe.tag) / 1e6:.0f} MB"


def image_bytes(tag: str) -> int:
    """Return the size of an image on the disk, including its base."""
    return int(inspect(tag)["Size"])


def builder_variables() -> dict[str, str]:
    """Return variables that select the engine's own builder where BuildKit's client is missing."""
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
