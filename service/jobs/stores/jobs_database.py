"""The SQLite file of jobs: its tables, its connection, and statements in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_BUSY_SECONDS = 10.0
"""The time that a statement waits for those of other processes."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, request TEXT NOT NULL, nbytes INTEGER NOT NULL,
  created REAL NOT NULL, expires REAL NOT NULL, position REAL NOT NULL, state TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0, started REAL, finished REAL,
  worker TEXT NOT NULL DEFAULT '', lease REAL NOT NULL DEFAULT 0,
  done INTEGER NOT NULL DEFAULT 0, total INTEGER, head TEXT, body BLOB
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, position);
CREATE TABLE IF NOT EXISTS pieces (
  job TEXT NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (job, number)
);
"""


class JobsDatabase:
    """The connection to the file of jobs in a directory, for one thread.

    Args:
        directory: The directory.

    Attributes:
        directory: The directory.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._connection: sqlite3.Connection | None = None

    @property
    def is_open(self) -> bool:
        """Whether statements can be executed."""
        return self._connection is not None

    def open(self) -> None:
        """Open the file, and make it and its tables if they are not there."""
        connection = sqlite3.connect(
            self.directory / "jobs.sqlite",
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        # Safe against the death of any process; a loss of power may take the last moments.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
        self._connection = connection

    def close(self) -> None:
        """Close the file, if it is open; statements fail from then on."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Let no other process write until the block ends."""
        self._opened.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._opened.execute("ROLLBACK")
            raise
        self._opened.execute("COMMIT")

    def one(self, query: str, *values: Any) -> sqlite3.Row | None:
        """Return the first row of a query, or None."""
        row: sqlite3.Row | None = self._opened.execute(query, values).fetchone()
        return row

    def all(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        return self._opened.execute(query, values).fetchall()

    def change(self, change: str, *values: Any) -> int:
        """Execute a statement, and return the number of rows that it changed."""
        return self._opened.execute(change, values).rowcount

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.ProgrammingError("closed")
        return self._connection
