"""A program that reads LAZ from standard input and writes float64 (points, 3) to standard output.

It is a separate program because the decompressor (Rust) panics or aborts its process on some
damaged files: it allocates whatever a file declares. Here that ends this program alone, within
limits on memory and time. It imports nothing of the package, so that it starts quickly.
"""

from __future__ import annotations

import io
import resource
import sys

_MEMORY_BYTES = 2 * 2**30
_CPU_SECONDS = 20


def main() -> None:
    """Decompress the file; any error ends the program with an exit status other than 0."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = _MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(_MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    import laspy
    import numpy as np

    stream = io.BytesIO(sys.stdin.buffer.read())
    backend = laspy.LazBackend.Lazrs
    with laspy.open(stream, read_evlrs=False, laz_backend=backend) as reader:
        points = reader.read_points(reader.header.point_count)
        array = np.stack([points.x, points.y, points.z], axis=1)
    sys.stdout.buffer.write(np.ascontiguousarray(array, dtype="<f8").tobytes())


if __name__ == "__main__":
    main()
