"""API keys: the heads that each may use, its limits, and the file that holds them.

A key is 256 random bits in a form that is easy to find in logs and code (``ov2_…``). The
file holds its SHA-256 and never the key. A plain hash is right here: salts and slow hashes
protect passwords, which can be guessed; 256 random bits cannot, and a request must not cost a slow
hash.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from filelock import FileLock
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from omnivec2.atomic_files import write_file
from omnivec2.errors import ArtifactError, InvalidInputError
from service.access.priority import PriorityName

PREFIX = "ov2_"
_KEY_BYTES = 32


class Key(BaseModel):
    """The key of one caller, and its limits.

    Attributes:
        name: The name of the caller, which appears in logs; the key never does.
        sha256: The SHA-256 of the key in hexadecimal digits.
        requests_per_second: The limit on requests per second on average; None means no limit.
        burst: The number of requests at once after a pause; as many as in a second, at least 1,
            if it is not given.
        max_concurrent: The limit on requests at the same time; None means no limit.
        compute_seconds_per_minute: The limit on work on its requests per minute on average, in
            seconds of one thread: 60 keeps a core busy. None means no limit.
        compute_burst_seconds: The work at once after a pause; that of a minute if it is not given.
        expires: The time after which the key is not valid any more.
        heads: The names of the heads it may use (``text/sentiment``); None means all, an empty
            list means none.
        strict: Whether its requests are refused if there are notes on an input.
        priority: The highest priority class that its requests get, whatever they ask for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    requests_per_second: Annotated[float, Field(gt=0)] | None = None
    burst: Annotated[int, Field(ge=1)] | None = None
    max_concurrent: Annotated[int, Field(ge=1)] | None = None
    compute_seconds_per_minute: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    compute_burst_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    expires: AwareDatetime | None = None
    heads: tuple[str, ...] | None = None
    strict: bool = False
    priority: PriorityName = "normal"

    def expired(self) -> bool:
        """Whether the key is not valid any more."""
        return self.expires is not None and self.expires <= datetime.now(UTC)


class KeysFile(BaseModel):
    """The content of a file of keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[Key, ...] = ()


def digest(key: str) -> str:
    """Return the SHA-256 of a key in hexadecimal digits."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def read_keys(path: Path) -> KeysFile:
    """Read the keys in a JSON file, or in a TOML file if its name says so.

    Raises:
        ArtifactError: The file cannot be read, or a key in it is invalid.
    """
    try:
        text = path.read_text("utf-8")
        content = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        keys = KeysFile.model_validate(content)
    except OSError as error:
        raise ArtifactError(f"the keys in {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        # Without the values: one may be a key that was put where its hash belongs.
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ArtifactError(f"{path}: {where}: {first['msg']}") from error
    except ValueError as error:
        raise ArtifactError(f"{path} is not valid: {error}") from error
    for values in ([key.name for key in keys.keys], [key.sha256 for key in keys.keys]):
        if len(set(values)) < len(values):
            raise ArtifactError(f"{path}: two keys have the same name or hash")
    return keys


def create_key(path: Path, name: str, **limits: object) -> str:
    """Make a key, add its hash to a file, and return it; it cannot be read again.

    Args:
        path: The path of a JSON file; made if it is not there.
        name: The name of the caller.
        **limits: The other fields of ``Key``.

    Raises:
        InvalidInputError: There is a key of that name, or a limit is invalid.
        ArtifactError: The file cannot be read or written.
    """
    secret = PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    try:
        key = Key.model_validate({"name": name, "sha256": digest(secret), **limits})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise InvalidInputError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    with _locked(path):
        known = read_keys(path).keys if path.exists() else ()
        if any(other.name == name for other in known):
            raise InvalidInputError(f"{path} has a key named {name} already")
        _write(path, KeysFile(keys=(*known, key)))
    return secret


def revoke_key(path: Path, name: str) -> None:
    """Remove a key from a file.

    Raises:
        InvalidInputError: There is none of that name.
        ArtifactError: The file cannot be read or written.
    """
    with _locked(path):
        known = read_keys(path).keys
        kept = tuple(key for key in known if key.name != name)
        if len(kept) == len(known):
            raise InvalidInputError(
                f"{path} has no key named {name}", known=[k.name for k in known]
            )
        _write(path, KeysFile(keys=kept))


def _locked(path: Path) -> FileLock:
    if path.suffix == ".toml":
        raise InvalidInputError(f"{path}: only files in JSON are written; edit this one by hand")
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_name(f".{path.name}.lock"), mode=0o600)


def _write(path: Path, keys: KeysFile) -> None:
    """Replace the file atomically; only its owner can read it."""
    text = json.dumps(keys.model_dump(mode="json", exclude_none=True), indent=2) + "\n"
    try:
        write_file(path, text.encode(), mode=0o600)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be written: {error.strerror}") from error
