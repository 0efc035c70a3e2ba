"""The Hugging Face Hub, or a server of its API (``HF_ENDPOINT``): ``hf://owner/name[@revision]``.

The token is that of ``hf auth login``, or ``HF_TOKEN``. A push is one commit, so that others see it
whole or not at all; the hub itself knows which large files it holds already.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    get_session,
    get_token,
    hf_hub_url,
)
from huggingface_hub.errors import HfHubHTTPError

from omnivec2.errors import InvalidInputError
from omnivec2.sharing.manifest import MANIFEST_FILE, MAX_MANIFEST_BYTES, Manifest, SharedFile
from omnivec2.sharing.outgoing import Outgoing
from omnivec2.sharing.stores.base import Progress, StoreError, read_limited

_ADDRESS = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?/?")
_WHOLE, _NOT_FOUND = 200, 404


@cache
def _http_errors() -> tuple[type[Exception], ...]:
    """Return what the hub's library raises where a connection fails.

    Its HTTP client is httpx in some releases and httpx2 in others.
    """
    client = import_module(type(get_session()).__module__.partition(".")[0])
    return HfHubHTTPError, client.HTTPError, OSError


class _MissingError(StoreError):
    """The repository, its revision or the file is not there, or not for this token."""


class HubStore:
    """A model repository of the hub.

    Args:
        repo: The repository, ``owner/name``.
        revision: The branch, tag or commit.

    Attributes:
        address: The address.
    """

    def __init__(self, repo: str, revision: str = "main") -> None:
        self._repo, self._revision = repo, revision
        self.address = f"hf://{repo}"

    def read_manifest(self) -> Manifest | None:
        """Return the manifest; see ``Store.read_manifest``."""
        try:
            data = b"".join(self._get(MANIFEST_FILE, 0, MAX_MANIFEST_BYTES))
        except _MissingError:
            return None
        except _http_errors() as error:
            raise StoreError(f"{self.address}: {error}") from error
        return read_limited(io.BytesIO(data), MAX_MANIFEST_BYTES, self.address)

    def stream(self, file: SharedFile, offset: int) -> Iterator[bytes]:
        """Yield the content of a file; see ``Store.stream``."""
        if offset >= file.bytes:
            return
        try:
            yield from self._get(file.path, offset, file.bytes)
        except _http_errors() as error:
            raise StoreError(f"{self.address}: {file.path}: {error}") from error

    def publish(self, outgoing: Outgoing, progress: Progress) -> int:
        """Write a checkpoint in one commit; the repository is made if need be."""
        api = HfApi()
        try:
            api.create_repo(self._repo, repo_type="model", exist_ok=True)
            before = self.read_manifest()
            held = {} if before is None else before.by_path
            files = [f for f in outgoing.manifest.files if held.get(f.path) != f]
            if not files and before == outgoing.manifest:
                return 0
            operations: list[CommitOperationAdd | CommitOperationDelete] = [
                CommitOperationAdd(file.path, outgoing.sources[file.path]) for file in files
            ]
            operations.append(CommitOperationAdd(MANIFEST_FILE, outgoing.manifest.to_json()))
            stale = held.keys() - outgoing.manifest.by_path.keys()
            operations += [CommitOperationDelete(path) for path in sorted(stale)]
            api.create_commit(
                self._repo,
                operations,
                commit_message="Push a checkpoint with omnivec2",
                revision=self._revision,
            )
        except _http_errors() as error:
            raise StoreError(f"{self.address}: {error}") from error
        for file in files:
            progress(file, file.bytes)
        return len(files)

    def _get(self, path: str, offset: int, limit: int) -> Iterator[bytes]:
        """Yield a file from an offset on, whether or not the server knows ranges."""
        # Ranges are of the file, not of a compressed form of it.
        headers = {"Accept-Encoding": "identity"}
        if token := get_token():
            headers["Authorization"] = f"Bearer {token}"
        if offset:
            headers["Range"] = f"bytes={offset}-"
        url = hf_hub_url(self._repo, path, revision=self._revision)
        with get_session().stream("GET", url, headers=headers, follow_redirects=True) as response:
            if response.status_code == _NOT_FOUND:
                raise _MissingError(f"{self.address}: has no {path}")
            if response.is_error:
                reason = response.headers.get("X-Error-Message") or response.reason_phrase
                raise StoreError(f"{self.address}: {path}: {response.status_code} {reason}")
            skip = offset if response.status_code == _WHOLE else 0
            left = limit - offset + skip + 1
            for piece in response.iter_bytes():
                kept = piece[skip:]
                skip = max(0, skip - len(piece))
                if kept:
                    yield kept
                left -= len(piece)
                if left < 0:
                    return


def open_store(address: str) -> HubStore:
    """Open ``hf://owner/name``, at a revision if one is named.

    Raises:
        InvalidInputError: The address is not understood.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise InvalidInputError(f"{address}: expected hf://OWNER/NAME or hf://OWNER/NAME@REVISION")
    return HubStore(found["repo"], found["revision"] or "main")
