"""As much of the Hugging Face Hub's HTTP API as pushing and pulling a model takes.

Written after what ``huggingface_hub`` sends: files of weights go through Git LFS, others into the
commit. The hub's newer storage (Xet) is switched off in the client.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hub:
    """What the stub holds.

    Attributes:
        url: its address.
        files: path -> content, per repository.
        commits: how many there were.
        uploads: sha256 of the large files that were sent.
        ranges: ``Range`` of the requests that had one.
        cut_after: bytes after which a download of weights breaks off; None if it does not.
        tokens: ``Authorization`` of all requests.
    """

    url: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    commits: int = 0
    uploads: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    cut_after: int | None = None
    tokens: set[str | None] = field(default_factory=set)
    blobs: dict[str, bytes] = field(default_factory=dict)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve a hub on a free port until the block ends."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.tokens.add(self.headers.get("Authorization"))
        if self.path == "/api/repos/create":
            fields = json.loads(body)
            repo = f"{fields.get('organization') or 'me'}/{fields['name']}"
            self.hub.files.setdefault(repo, {})
            self._json({"url": f"{self.hub.url}/{repo}", "id": repo})
        elif self.path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [self._mode(file) for file in json.loads(body)["files"]]
            self._json({"files": files})
        elif self.path.endswith("/info/lfs/objects/batch"):
            self._json({"transfer": "basic", "objects": self._batch(json.loads(body)["objects"])})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/\w+", self.path):
            self._commit(found[1], body)
        else:
            self._json({"error": f"no {self.path}"}, 404)

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        digest = hashlib.sha256(data).hexdigest()
        assert self.path.endswith(digest)
        self.hub.blobs[digest] = data
        self.hub.uploads.append(digest)
        self._json({})

    def do_GET(self) -> None:
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/\w+/(.+)", self.path)
        data = self.hub.files.get(found[1], {}).get(found[2]) if found else None
        if data is None:
            self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        start = 0
        if wanted := self.headers.get("Range"):
            self.hub.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        rest = data[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.hub.cut_after is not None and found and found[2].endswith(".safetensors"):
            self.wfile.write(rest[: self.hub.cut_after])
            self.close_connection = True
            return
        self.wfile.write(rest)

    def _mode(self, file: dict[str, Any]) -> dict[str, Any]:
        large = file["path"].endswith((".safetensors", ".onnx"))
        mode = "lfs" if large else "regular"
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None}

    def _batch(self, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What is there already is not asked for."""
        answers = []
        for wanted in objects:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.blobs:
                href = f"{self.hub.url}/lfs/{wanted['oid']}"
                answer["actions"] = {"upload": {"href": href}}
            answers.append(answer)
        return answers

    def _commit(self, repo: str, body: bytes) -> None:
        files = self.hub.files[repo]
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        self.hub.commits += 1
        self._json({"commitUrl": f"{self.hub.url}/{repo}/commit/abc", "commitOid": "abc"})

    def _json(
        self, value: object, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, content in (headers or {}).items():
            self.send_header(name, content)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
