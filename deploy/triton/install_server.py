"""Unpack the Triton server of the nvidia-pytriton wheel into an environment.

Run by the Python of that environment, which already has the packages of
``requirements/triton.lock``::

    <environment>/server/       the unpacked wheel; it is never installed
    <environment>/backends/     python (Triton's own), and onnxruntime and openvino (this project's,
                                on top of it)
"""

from __future__ import annotations

import argparse
import ctypes
import shutil
import sys
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path

PROJECT_BACKEND = Path(__file__).resolve().parent / "graph_backend.py"
PROJECT_BACKENDS = ("onnxruntime", "openvino")
"""The names under which this project's backend is installed: NVIDIA's of the same engines."""
_MODEL = "model.py"
_TRITON = Path("pytriton") / "tritonserver"
_SERVER = _TRITON / "bin" / "tritonserver"
_PYTHON_BACKEND = _TRITON / "backends" / "python"
_STUBS = _TRITON / "python_backend_stubs"
_STUB = "triton_python_backend_stub"
_LIBRARIES = Path("nvidia_pytriton.libs")


class InstallError(Exception):
    """The server cannot be installed here; the message says why."""


def main() -> None:
    """Install from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True, help="the nvidia-pytriton wheel")
    parser.add_argument(
        "--environment", type=Path, required=True, help="the environment to install into"
    )
    arguments = parser.parse_args()
    try:
        check_numpy(version("numpy"))
        install(arguments.wheel, arguments.environment)
    except InstallError as error:
        sys.exit(f"Triton cannot be installed: {error}")


def install(wheel: Path, environment: Path) -> None:
    """Unpack the wheel into an environment and lay out the backends, replacing earlier ones.

    Args:
        wheel: The nvidia-pytriton wheel.
        environment: The environment.

    Raises:
        InstallError: The wheel is not the expected one, or does not suit this Python.
    """
    server = environment / "server"
    _unpack(wheel, server)
    link_libpython(server / _LIBRARIES)
    lay_out_backends(server, environment / "backends", sys.version_info[:2])


def check_numpy(installed: str) -> None:
    """Reject a numpy under which this Triton's Python backend answers with empty tensors."""
    if int(installed.partition(".")[0]) >= 2:
        raise InstallError(f"its Python backend needs numpy < 2, this environment has {installed}")


def lay_out_backends(server: Path, backends: Path, python: tuple[int, int]) -> None:
    """Make the backend directory: Triton's Python backend, and this project's on top of it.

    Args:
        server: The unpacked wheel.
        backends: The directory of backends, which is replaced.
        python: The Python version whose stub is used; the stub runs this project's backends with
            the packages of the environment, so the two must be of one version.
    """
    stub = server / _STUBS / ".".join(map(str, python)) / _STUB
    if not stub.exists():
        offered = ", ".join(sorted(path.name for path in (server / _STUBS).iterdir()))
        raise InstallError(f"it has no stub for Python {'.'.join(map(str, python))}, but {offered}")
    shutil.rmtree(backends, ignore_errors=True)
    shutil.copytree(server / _PYTHON_BACKEND, backends / "python")
    shutil.copyfile(stub, backends / "python" / _STUB)
    (backends / "python" / _STUB).chmod(0o755)
    for name in PROJECT_BACKENDS:
        (backends / name).mkdir()
        shutil.copyfile(PROJECT_BACKEND, backends / name / _MODEL)


def link_libpython(libraries: Path) -> None:
    """Put this Python's shared library, which the stub is linked with, beside the server's.

    Raises:
        InstallError: This Python has none.
    """
    major, minor = sys.version_info[:2]
    name = f"libpython{major}.{minor}.so.1.0"
    library = Path(str(sysconfig.get_config_var("LIBDIR"))) / name
    if library.exists():
        (libraries / name).symlink_to(library)
        return
    try:
        ctypes.CDLL(name)  # where the system's loader looks by itself
    except OSError as error:
        raise InstallError(
            f"{name} is not there: build Python with --enable-shared, "
            f"or install the system's package of it (Debian: libpython{major}.{minor})"
        ) from error


def _unpack(wheel: Path, server: Path) -> None:
    shutil.rmtree(server, ignore_errors=True)
    try:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(server)
        # zipfile does not restore permissions.
        (server / _SERVER).chmod(0o755)
    except (OSError, zipfile.BadZipFile) as error:
        raise InstallError(f"{wheel}: not a wheel with a Triton server: {error}") from error


if __name__ == "__main__":
    main()
