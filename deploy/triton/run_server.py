"""Run the Triton server of the nvidia-pytriton wheel: for development and tests, on loopback.

Production uses NVIDIA's image, whose release is newer and whose backends are C++; the same
model repository serves there unchanged. Everything after ``--`` goes to tritonserver.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ENVIRONMENT = Path(__file__).resolve().parents[2] / ".venv-triton"

_SERVER = Path("server") / "pytriton" / "tritonserver" / "bin" / "tritonserver"
_LIBRARIES = Path("server") / "nvidia_pytriton.libs"


def main() -> None:
    """Replace this process by tritonserver, which then gets signals and sets the exit status."""
    arguments = parse(sys.argv[1:])
    server = arguments.environment / _SERVER
    if not server.exists():
        sys.exit(f"{server} is not there: run `make triton-install` first")
    if not arguments.model_repo.is_dir():
        sys.exit(f"{arguments.model_repo} is not a directory: `make triton` assembles it")
    os.execve(server, command(arguments), variables(arguments.environment, os.environ))


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model-repo", type=Path, default=Path("model_repo"))
    parser.add_argument("--environment", type=Path, default=ENVIRONMENT)
    parser.add_argument(
        "--host", default="127.0.0.1", help="keep it private: there is no access control"
    )
    parser.add_argument("--http-port", type=int, default=8000)
    parser.add_argument("--grpc-port", type=int, default=8001)
    parser.add_argument("--metrics-port", type=int, default=8002)
    parser.add_argument(
        "--model-control-mode",
        choices=("none", "explicit", "poll"),
        default="none",
        help="explicit: clients may load and unload models",
    )
    parser.add_argument(
        "--load-model",
        action="append",
        metavar="NAME",
        help="load only this at the start (repeatable); in explicit mode",
    )
    parser.add_argument(
        "--strict-readiness",
        action="store_true",
        help="not ready while any model of the repository is unavailable",
    )
    parser.add_argument("rest", nargs="*", metavar="OPTION", help="for tritonserver, after --")
    arguments = parser.parse_args(words)
    if arguments.load_model and arguments.model_control_mode != "explicit":
        parser.error("--load-model needs --model-control-mode explicit")
    arguments.environment = arguments.environment.absolute()
    return arguments


def command(arguments: argparse.Namespace) -> list[str]:
    """Return the command line of tritonserver."""
    explicit = arguments.model_control_mode == "explicit"
    models = (arguments.load_model or ["*"]) if explicit else []
    return [
        str(arguments.environment / _SERVER),
        f"--model-repository={arguments.model_repo.resolve()}",
        f"--backend-directory={arguments.environment / 'backends'}",
        f"--http-address={arguments.host}",
        f"--grpc-address={arguments.host}",
        f"--metrics-address={arguments.host}",
        f"--http-port={arguments.http_port}",
        f"--grpc-port={arguments.grpc_port}",
        f"--metrics-port={arguments.metrics_port}",
        f"--model-control-mode={arguments.model_control_mode}",
        *(f"--load-model={model}" for model in models),
        # One model that cannot be loaded must not make the others unavailable, but with strict
        # readiness one bad model keeps the server from ever being ready. So "ready" means that
        # loading is over (the ports open only then), and each model has its own readiness at
        # /v2/models/<name>/ready and in the repository index.
        "--exit-on-error=false",
        f"--strict-readiness={str(arguments.strict_readiness).lower()}",
        # Configurations are complete; completing them would start every model's process twice.
        "--disable-auto-complete-config",
        # No GPU is used here: it is not probed, and no memory is pinned for one.
        "--allow-gpu-metrics=false",
        "--pinned-memory-pool-byte-size=0",
        # Threads for requests of a backend to other models, 32 per model: this one sends none.
        "--backend-config=python,thread-pool-size=1",
        *arguments.rest,
    ]


def variables(environment: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of tritonserver and of the process it starts for each model.

    There is one process per model, dozens on one machine, so each must be small.
    """
    # An inherited PYTHONPATH or PYTHONHOME would mix other packages into those of the backend.
    kept = {key: value for key, value in inherited.items() if not key.startswith("PYTHON")}
    return {
        **kept,
        "LD_LIBRARY_PATH": str(environment / _LIBRARIES),
        # The Python backend finds its packages through the environment on PATH.
        "VIRTUAL_ENV": str(environment),
        "PATH": os.pathsep.join([str(environment / "bin"), inherited.get("PATH", os.defpath)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        # glibc keeps a heap per thread otherwise, numpy's BLAS (unused) a buffer per core.
        "MALLOC_ARENA_MAX": "2",
        "OPENBLAS_NUM_THREADS": "1",
    }


if __name__ == "__main__":
    main()
