"""One writer thread that commits waiting transactions together.

A commit with full sync costs a disk flush, whatever is in it. The writer takes everything that
waits, gives each job a savepoint of its own, commits once and only then hands the results out: who
has a result can rely on it. One thread is also one connection, so that nobody fights for the lock.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from arena.refusals import Refused

__all__ = ["Writer"]

T = TypeVar("T")
Work = Callable[[Connection], T]

_log = logging.getLogger(__name__)
_MOST_TOGETHER = 64
_MOST_WAITING = 4000
_CLASH = {"40001", "40P01"}  # SQLSTATE of a serialisation failure and a deadlock


@dataclass(slots=True)
class _Job:
    work: Work[Any]
    result: Future[Any] = field(default_factory=Future)
    outcome: Any = None
    refusal: Exception | None = None

    def attempt(self, connection: Connection) -> None:
        self.refusal = None
        try:
            with connection.begin_nested():
                self.outcome = self.work(connection)
        except (SQLAlchemyError, OSError):
            raise  # the database's trouble is everybody's in this commit
        except Exception as error:
            self.refusal = error

    def deliver(self) -> None:
        if self.refusal is None:
            self.result.set_result(self.outcome)
        else:
            self.result.set_exception(self.refusal)


class Writer:
    """Runs transactions one after the other, several to a commit.

    Parameters
    ----------
    engine
        The database.
    patience_s
        How long a locked database is waited for; a caller waits twice as long.

    Raises
    ------
    Refused
        From :meth:`call` and :meth:`run`: ``store_unavailable`` if the database is gone, full or
        locked. If the connection was lost during the commit, the job may have been committed all
        the same: jobs have to be such that doing them again gives the same result.
    """

    def __init__(self, engine: Engine, *, patience_s: float) -> None:
        self._engine = engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
        self._patience_s = patience_s
        self._connection: Connection | None = None
        self._opened_file: tuple[int, int] | None = None
        self._waiting: SimpleQueue[_Job | None] = SimpleQueue()
        self.n_failures = 0
        """Commits that the database refused so far."""
        self._thread = threading.Thread(target=self._serve, name="arena-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work[T]) -> Future[T]:
        """Queue a transaction; the future has its result once that is on disk."""
        job = _Job(work)
        if self._waiting.qsize() >= _MOST_WAITING or not self._thread.is_alive():
            job.refusal = _unavailable()
            job.deliver()
        else:
            self._waiting.put(job)
        return job.result

    def call(self, work: Work[T]) -> T:
        """Run a transaction and wait for it; for threads without an event loop."""
        try:
            return self.submit(work).result(timeout=2 * self._patience_s)
        except TimeoutError as error:
            raise _unavailable() from error

    async def run(self, work: Work[T]) -> T:
        """Run a transaction and wait for it."""
        future = asyncio.wrap_future(self.submit(work))
        try:
            # Not wait_for: Python 3.11's can lose a cancellation that comes with the result.
            async with asyncio.timeout(2 * self._patience_s):
                return await asyncio.shield(future)
        except TimeoutError as error:
            raise _unavailable() from error

    def close(self) -> None:
        """Finish what waits, then stop."""
        self._waiting.put(None)
        self._thread.join(timeout=4 * self._patience_s)

    def _serve(self) -> None:
        going_on = True
        while going_on:
            batch = self._next_batch()
            jobs = [job for job in batch if job is not None]
            going_on = len(jobs) == len(batch)
            if jobs:
                self._process(jobs)
        self._disconnect()

    def _next_batch(self) -> list[_Job | None]:
        batch = [self._waiting.get()]
        while len(batch) < _MOST_TOGETHER:
            try:
                batch.append(self._waiting.get_nowait())
            except Empty:
                break
        return batch

    def _process(self, jobs: Sequence[_Job], *, tries: int = 2) -> None:
        try:
            self._commit(jobs)
        except (SQLAlchemyError, OSError) as error:
            self.n_failures += 1
            self._disconnect()
            if tries > 1 and isinstance(error, DBAPIError) and error.connection_invalidated:
                self._process(jobs, tries=tries - 1)  # the server may just have been restarted
                return
            if len(jobs) > 1 and not _is_outage(error):
                for job in jobs:  # one is at fault, or clashed with another replica's
                    self._process([job])
                return
            _log.error("arena: %d transactions failed: %s", len(jobs), error)
            for job in jobs:
                job.refusal = _unavailable()
        for job in jobs:
            job.deliver()

    def _commit(self, jobs: Sequence[_Job]) -> None:
        connection = self._connected()
        with connection.begin():
            for job in jobs:
                job.attempt(connection)
        self._check_file()

    def _connected(self) -> Connection:
        self._check_file()
        if self._connection is None:
            connection = self._engine.connect()
            cursor = (
                connection.connection.cursor()
            )  # past SQLAlchemy, which would begin a transaction
            for setting in self._settings():
                cursor.execute(setting)
            cursor.close()
            connection.connection.commit()
            self._connection = connection
        return self._connection

    def _settings(self) -> tuple[str, ...]:
        patience_ms = int(1000 * self._patience_s)
        if self._engine.dialect.name == "sqlite":
            # FULL: a receipt survives a power cut too.
            return f"PRAGMA busy_timeout = {patience_ms}", "PRAGMA synchronous = FULL"
        return (
            f"SET SESSION statement_timeout = {patience_ms}",
            f"SET SESSION lock_timeout = {patience_ms}",
        )

    def _check_file(self) -> None:
        """Notice that SQLite's file was moved or deleted, which SQLite itself does not tell."""
        path = self._engine.url.database
        if self._engine.dialect.name != "sqlite" or not path or path == ":memory:":
            return
        status = os.stat(path)
        found = status.st_dev, status.st_ino
        if self._connection is not None and found != self._opened_file:
            raise FileNotFoundError(f"{path} is not the file that was opened")
        self._opened_file = found

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()  # closes it: its settings are not for the pool
            self._connection.close()
            self._connection = None
        self._engine.dispose()


def _is_outage(error: Exception) -> bool:
    if isinstance(error, OperationalError | InterfaceError):
        return getattr(error.orig, "sqlstate", None) not in _CLASH
    return isinstance(error, OSError)


def _unavailable() -> Refused:
    return Refused("store_unavailable", retry_after_s=1)
