"""A real Ray cluster on loopback, as a program of the environment that has Ray.

It prints a line of JSON for every line that it reads: ``add`` starts a node, ``kill`` ends the
processes of the node that was added first, as a power cut does, and nothing more to read ends all.
Ray is never told to stop what else may run on the machine: every process here is a child's.
"""

from __future__ import annotations

import json
import sys

from ray.cluster_utils import Cluster

LOOPBACK = "127.0.0.1"
TRIES = 4


def main() -> None:
    cluster = Cluster()
    _add_node(cluster, cpus=0, include_dashboard=False)
    workers = []
    _say(address=cluster.address)
    for line in sys.stdin:
        command = line.strip()
        if command == "add":
            workers.append(_add_node(cluster, cpus=1))
        elif command == "kill":
            cluster.remove_node(workers.pop(0), allow_graceful=False)
        _say(nodes=1 + len(workers))
    cluster.shutdown()


def _add_node(cluster: Cluster, cpus: int, **options: object) -> object:
    """Start a node, the first one as the head; again if it does not start in time.

    A node gives its helper processes some seconds, which a busy machine may not have for them.
    """
    for left in reversed(range(TRIES)):
        try:
            return cluster.add_node(
                num_cpus=cpus,
                node_ip_address=LOOPBACK,
                object_store_memory=100 * 2**20,
                **options,
            )
        except Exception:  # Ray raises no narrower one
            if not left:
                raise
    raise AssertionError("unreachable")


def _say(**what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
