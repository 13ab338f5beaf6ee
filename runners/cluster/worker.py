"""What runs on a node: one base at a time, whose variants answer the units that come in."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, cast

import ray

from evalcore.errors import ParityError
from evalcore.executors import run_requests
from evalcore.hashing import file_sha256
from evalcore.protocols import Finished, PlanningRunner, Request, Response, Runner
from evalcore.records import Efficiency, ModelSpec
from runners.backends import Resident, backend
from runners.options import RunnerOptions
from runners.resolving import resolve

__all__ = [
    "About",
    "Answers",
    "DifferentFiles",
    "Load",
    "Plan",
    "Refused",
    "Worker",
    "differing_file",
    "load_checked",
    "together",
]

_LOG = logging.getLogger(__name__)
_LINES: Final = 1000

Load = Callable[[ModelSpec], Resident]
"""Makes resident what a variant needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Where a worker is."""

    node: str
    """Ray's id of it."""
    host: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Parts of a stage, each of which gives alone what it gives among the others."""

    parts: Sequence[Sequence[int]]
    log: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What came of a unit."""

    finished: Finished[Response]
    """With positions in the unit's requests, part after part."""
    failed: Sequence[tuple[int, str]] = ()
    """The parts without results, and why."""
    log: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Bad input that was found on the node: the command ends with it, as it would here."""

    error: ParityError
    log: Sequence[str] = ()


class DifferentFiles(ParityError):
    """A model's files on the node aren't those that the command was given.

    Parameters
    ----------
    hashes
        Of the node's files, by path; the command compares them with its own.
    """

    def __init__(self, hashes: dict[str, str]) -> None:
        super().__init__(hashes)
        self.hashes = hashes


class Worker:
    """Loads a base when a unit needs another one, and switches its variants.

    Parameters
    ----------
    load
        Makes a base resident.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._base: ModelSpec | None = None
        self._resident: Resident | None = None
        self._runner: Runner | None = None
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._listen()

    def about(self) -> About:
        """Say where this is."""
        node = ray.get_runtime_context().get_node_id()
        return About(node=node, host=socket.gethostname(), pid=os.getpid())

    def plan(self, spec: ModelSpec, requests: Sequence[Request]) -> Plan | Answers | Refused:
        """Cut a stage's requests into parts, as the runner would compute them."""
        try:
            runner = cast("PlanningRunner", self._running(spec))
            return Plan(parts=runner.plan(requests), log=self._said())
        except ParityError as error:
            return Refused(error=error, log=self._said())
        except Exception as error:
            _LOG.exception("%s can't plan", spec.name)
            failed = [(0, _told(error))]
            return Answers(finished=together([]), failed=failed, log=self._said())

    def run(self, spec: ModelSpec, parts: Sequence[Sequence[Request]]) -> Answers | Refused:
        """Answer a unit; a part that fails doesn't keep the others from being answered."""
        done: list[Finished[Response]] = []
        failed: list[tuple[int, str]] = []
        start = 0
        try:
            runner = self._running(spec)
            for number, requests in enumerate(parts):
                try:
                    found = list(run_requests(runner, requests))
                    done += [_shifted(item, start) for item in found]
                except ParityError:
                    raise
                except Exception as error:
                    # Whatever it is, it is this part's: it is told, tried again and counted.
                    _LOG.exception("%s: a part of %d requests failed", spec.name, len(requests))
                    failed.append((number, _told(error)))
                start += len(requests)
        except ParityError as error:
            return Refused(error=error, log=self._said())
        except Exception as error:
            _LOG.exception("%s can't be run", spec.name)
            failed = [(number, _told(error)) for number in range(len(parts))]
            done = []
        return Answers(finished=together(done), failed=failed, log=self._said())

    def _running(self, spec: ModelSpec) -> Runner:
        base = backend(spec.backend).shared(spec)
        with self._lock:
            if self._resident is None or base != self._base:
                self._let_go()
                _LOG.info("loading %s", spec.weights)
                self._resident, self._base = self._load(spec), base
            if self._runner is None or self._runner.spec.fingerprint != spec.fingerprint:
                if self._runner is not None:
                    self._runner.close()
                self._runner = self._resident.runner(spec)
            return self._runner

    def _let_go(self) -> None:
        if self._runner is not None:
            self._runner.close()
        if self._resident is not None:
            self._resident.close()
        self._resident = self._runner = self._base = None

    def _listen(self) -> None:
        handler = _Collector(self._lines)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.captureWarnings(True)
        for name in ("evalcore", "runners", "py.warnings"):
            logging.getLogger(name).addHandler(handler)
            logging.getLogger(name).setLevel(logging.INFO)

    def _said(self) -> list[str]:
        said = []
        with suppress(IndexError):
            while True:
                said.append(self._lines.popleft())
        return said


class _Collector(logging.Handler):
    """Keeps lines until the next result takes them along: a node shares no folder with others."""

    def __init__(self, lines: deque[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


def load_checked(spec: ModelSpec, options: RunnerOptions) -> Resident:
    """Load a variant's base, after a look at all its files.

    Raises
    ------
    DifferentFiles
        If what is on this node has another fingerprint.
    ModelError
        If something isn't there or can't be run.
    """
    kind = backend(spec.backend)
    found = _checked(spec)
    kind.prepare(found)
    # Ray says which GPU a worker sees, so that it is the first one there.
    device = "auto" if spec.device.startswith("cuda") else spec.device
    return _Checked(kind.open(kind.shared(replace(found, device=device)), options))


class _Checked:
    """A resident base that looks at the files of each variant; a file is read once for all."""

    def __init__(self, resident: Resident) -> None:
        self._resident = resident

    def runner(self, spec: ModelSpec) -> Runner:
        return self._resident.runner(_checked(spec))

    def close(self) -> None:
        self._resident.close()


def _checked(spec: ModelSpec) -> ModelSpec:
    found = resolve(spec)
    if found.fingerprint != spec.fingerprint:
        raise DifferentFiles(_hashes(found))
    return found


def _hashes(spec: ModelSpec) -> dict[str, str]:
    """Hash a spec's files; a node may have them in another place, as the hub's cache is."""
    files = backend(spec.backend).files(spec)
    return {f"{path.parent.name}/{path.name}": file_sha256(path) for path in files}


def differing_file(spec: ModelSpec, hashes: dict[str, str]) -> str:
    """Name the files of a variant that a node has otherwise, or not at all."""
    own = _hashes(spec)
    names = [name for name in {**own, **hashes} if own.get(name) != hashes.get(name)]
    return ", ".join(names) or spec.weights


def together(done: Sequence[Finished[Response]]) -> Finished[Response]:
    """Put results together, and add up what they took."""
    took = [item.efficiency for item in done]
    return Finished(
        [result for item in done for result in item.results],
        Efficiency(
            prefill_tokens=sum(item.prefill_tokens for item in took),
            prefill_s=sum(item.prefill_s for item in took),
            decode_tokens=sum(item.decode_tokens for item in took),
            decode_s=sum(item.decode_s for item in took),
            peak_memory_bytes=max((item.peak_memory_bytes for item in took), default=0),
            size_on_disk_bytes=max((item.size_on_disk_bytes for item in took), default=0),
        ),
    )


def _shifted(item: Finished[Response], start: int) -> Finished[Response]:
    results = [(place + start, response) for place, response in item.results]
    return Finished(results, item.efficiency)


def _told(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
