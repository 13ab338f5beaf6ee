"""``--executor``: where work is done, and what each worker takes."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from evalcore.errors import InputError
from runners.options import parse_bytes

__all__ = ["ClusterChoice", "parse_executor"]

_PORT: Final = 6379
_SETTINGS: Final = "workers, cpus, gpus, memory, resource.NAME, label.NAME"
_PERMITTED: Final = "local, ray or ray://HOST[:PORT], the latter two with ?workers=8&gpus=1 or such"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterChoice:
    """A cluster, and what each worker on it takes."""

    address: str | None = None
    """``HOST:PORT`` of the head's GCS; None for ``RAY_ADDRESS``, or else for Ray on this machine
    only, which ends with the command."""
    workers: int | None = None
    """How many; None means as many as fit the cluster, also as it grows and shrinks."""
    cpus: float | None = None
    """Cores of a worker, and its threads; None means 1."""
    gpus: float | None = None
    """GPUs of a worker, or a part of one; None means 1 where the cluster has any."""
    memory_bytes: int | None = None
    """Of a worker; None means what the weights take and a quarter more."""
    resources: tuple[tuple[str, float], ...] = ()
    """Custom resources that a worker takes."""
    labels: tuple[tuple[str, str], ...] = ()
    """Labels that a worker's node must have."""
    slots: int = field(default=1, repr=False)
    """Units that a worker does at the same time; more than one is for runners that only wait."""


def parse_executor(text: str) -> ClusterChoice | None:
    """Read ``--executor``; None for ``local``.

    Raises
    ------
    InputError
        For what can't be read, and where Ray is not installed.
    """
    if text == "local":
        return None
    where, _, query = text.partition("?")
    if where != "ray" and not where.startswith("ray://"):
        raise InputError(f"--executor must be {_PERMITTED}; got {text!r}")
    settings = _settings(query, text)
    if importlib.util.find_spec("ray") is None:
        raise InputError("--executor ray needs Ray: pip install 'parity-eval[ray]'")
    return ClusterChoice(address=_address(where, text), **settings)  # type: ignore[arg-type]


def _address(where: str, text: str) -> str | None:
    if where == "ray":
        return None
    host, _, port = where.removeprefix("ray://").partition(":")
    if not host or (port and not (port.isascii() and port.isdigit() and int(port) < 65536)):
        raise InputError(f"--executor must be {_PERMITTED}; got {text!r}")
    return f"{host}:{port or _PORT}"


def _settings(query: str, text: str) -> dict[str, object]:
    found: dict[str, object] = {}
    resources: list[tuple[str, float]] = []
    labels: list[tuple[str, str]] = []
    for key, value in parse_qsl(query, keep_blank_values=True):
        kind, _, name = key.partition(".")
        if key in _READERS:
            field_name, read = _READERS[key]
            found[field_name] = read(key, value)
        elif kind == "resource" and name:
            resources.append((name, _amount(key, value)))
        elif kind == "label" and name:
            labels.append((name, value))
        else:
            raise InputError(f"a setting of --executor must be one of {_SETTINGS}; got {key!r}")
    if query and not (found or resources or labels):
        raise InputError(f"a setting of --executor must be NAME=VALUE; got {text!r}")
    return {**found, "resources": tuple(resources), "labels": tuple(labels)}


def _amount(key: str, value: str) -> float:
    try:
        amount = float(value)
    except ValueError:
        amount = math.nan
    # Ray divides a resource no finer.
    if not 0.0 <= amount < math.inf or (amount > 1 and key == "gpus" and amount % 1):
        what = "a number, whole above 1" if key == "gpus" else "a number of at least 0"
        raise InputError(f"{key} of --executor must be {what}; got {value!r}")
    return amount


def _count(key: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()) or int(value) < 1:
        raise InputError(f"{key} of --executor must be a whole number of at least 1; got {value!r}")
    return int(value)


_READERS: Final[dict[str, tuple[str, Callable[[str, str], object]]]] = {
    "workers": ("workers", _count),
    "cpus": ("cpus", _amount),
    "gpus": ("gpus", _amount),
    "memory": ("memory_bytes", lambda _key, value: parse_bytes(value)),
}
