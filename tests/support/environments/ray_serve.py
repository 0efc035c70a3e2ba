"""Serves a model repository on a Ray cluster until there is nothing more to read from the input.

Arguments: the address of the cluster, the model repository, the port on loopback, the replicas.
"""

from __future__ import annotations

import sys

import ray
from ray import serve

from deploy.ray.serve_application import Options, build


def main(address: str, repository: str, port: int, replicas: int) -> None:
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    serve.start(http_options={"host": "127.0.0.1", "port": port, "location": "HeadOnly"})
    options = Options(model_repo=repository, min_replicas=replicas, max_replicas=replicas, cpus=1)
    serve.run(build(options))
    print("ready", flush=True)
    sys.stdin.read()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    address, repository, port, replicas = sys.argv[1:]
    main(address, repository, int(port), int(replicas))
