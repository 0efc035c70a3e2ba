"""Buckets of S3 and of what speaks its protocol (MinIO, Ceph, R2), as pyarrow's file system.

Credentials and region are those of the AWS tools: environment variables, profiles, roles. Another
server is named by ``AWS_ENDPOINT_URL``, or in the address:
``s3://bucket/key?endpoint_override=host:9000&scheme=http``.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from omnivec2.errors import InvalidInputError, OmniVecError

SCHEME = "s3://"

_ANY_REGION = "us-east-1"


def is_object_address(name: str) -> bool:
    """Whether a name is the address of an object or of a prefix, and not of a file."""
    return name.startswith(SCHEME)


def split_address(address: str) -> tuple[str, str, str]:
    """Return bucket, key and options of ``s3://bucket/key?options``; the key may be empty.

    Raises:
        InvalidInputError: The address names no bucket.
    """
    path, _, options = address.removeprefix(SCHEME).partition("?")
    bucket, _, key = path.partition("/")
    if not is_object_address(address) or not bucket:
        raise InvalidInputError(f"{address}: expected s3://BUCKET/KEY")
    return bucket, key, options


def complete_options(options: str = "") -> str:
    """Return the options of an address with those that the environment adds, secrets excepted.

    Another process that is given them opens the same server.

    Raises:
        InvalidInputError: The environment names a server that is none.
    """
    given = dict(parse_qsl(options))
    if (endpoint := _endpoint()) and "endpoint_override" not in given:
        given |= {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region or "endpoint_override" in given:
        # Else the region of the bucket is looked up, which other servers than Amazon's do not have.
        given.setdefault("region", region or _ANY_REGION)
    return urlencode(given)


def open_bucket(bucket: str, options: str = "") -> Any:
    """Return the file system of pyarrow in which a bucket is a directory.

    Args:
        bucket: The name of the bucket.
        options: The options of an address, as in its query.

    Raises:
        InvalidInputError: An option is not understood.
        OmniVecError: pyarrow is not installed, or the bucket's region cannot be found.
    """
    return _open(bucket, complete_options(options))


@lru_cache(maxsize=16)
def _open(bucket: str, query: str) -> Any:
    try:
        from pyarrow import ArrowException, ArrowInvalid, fs
    except ModuleNotFoundError as error:
        raise OmniVecError("s3:// needs pyarrow: pip install pyarrow") from error
    address = f"{SCHEME}{bucket}"
    try:
        files, _ = fs.FileSystem.from_uri(f"{address}?{query}" if query else address)
    except (ArrowInvalid, ValueError) as error:
        raise InvalidInputError(f"{address}: {error}") from error
    except (OSError, ArrowException) as error:
        raise OmniVecError(f"{address}: {error}") from error
    return files


def _endpoint() -> SplitResult | None:
    """Return the server that the AWS tools' variables name, if they do."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if url := os.environ.get(name):
            parsed = urlsplit(url)
            if parsed.scheme not in ("http", "https") or not parsed.netloc:
                raise InvalidInputError(f"{name}: expected http://… or https://…, got {url!r}")
            return parsed
    return None
