"""Coming to a cluster, and what is to be known of it before any work."""

from __future__ import annotations

import logging
import os
import platform
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import ray
import ray._private.worker as _driver
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import evalcore
from evalcore.errors import InputError
from runners.cluster.placement import NodeFacts

__all__ = ["check_versions", "connected", "living_nodes"]

_LOG = logging.getLogger(__name__)
_ANSWER_S: Final = 6.0
_REPORT_S: Final = 60.0
_OWN_STORE_BYTES: Final = 256 * 2**20
"""Units and results are small and few at a time, whatever the machine's memory."""


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Be a driver of a cluster, or of Ray on this machine alone, which ends with it.

    Parameters
    ----------
    address
        ``HOST:PORT`` of the head; None for ``RAY_ADDRESS``, or this machine alone without it.

    Raises
    ------
    InputError
        If it can't be reached within ten seconds, isn't a cluster, or runs other versions.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing calls home
    address = address or os.environ.get("RAY_ADDRESS") or None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None or address == "local":
        address = "local"
        quiet |= {"include_dashboard": False, "object_store_memory": _OWN_STORE_BYTES}
    elif address != "auto":
        _check_reachable(address)
    # Else Ray prints each worker's death on stdout, where a command's JSON goes; no option does it.
    _driver._worker_logs_enabled = False
    try:
        ray.init(address, **quiet)
    except (RuntimeError, ConnectionError, ValueError) as error:
        raise InputError(f"Ray can't be used ({address}): {_line(error)}") from None
    try:
        yield
    finally:
        ray.shutdown()
        _driver._worker_logs_enabled = True


def living_nodes() -> list[NodeFacts]:
    """Return the nodes that are there at present."""
    return [
        NodeFacts(
            node_id=node["NodeID"],
            host=node["NodeManagerHostname"],
            resources=node["Resources"],
            labels=node.get("Labels") or {},
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]


def check_versions(nodes: Sequence[NodeFacts]) -> None:
    """Ask each node for its versions.

    Raises
    ------
    InputError
        If a node has no Parity, or another one, or another Python; names the node.
    """
    own = {"Parity": evalcore.__version__, "Python": _minor(platform.python_version())}

    # A function in a function travels as code: a node without Parity can run it, too.
    def report() -> dict[str, str]:
        import importlib
        import platform

        try:
            parity = str(importlib.import_module("evalcore").__version__)
        except ImportError:
            parity = "none"
        return {"Parity": parity, "Python": platform.python_version()}

    task = ray.remote(num_cpus=0, max_retries=0)(report)
    asked = {
        task.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=True)
        ).remote(): node
        for node in nodes
    }
    ready, _late = ray.wait(list(asked), num_returns=len(asked), timeout=_REPORT_S)
    for ref in ready:
        try:
            found = ray.get(ref)
        except RayError as error:  # the node is short of memory, or gone by now
            _LOG.warning("%s can't tell its versions: %s", asked[ref].host, _line(error)[:100])
            continue
        found["Python"] = _minor(found["Python"])
        if found != own:
            raise InputError(
                f"node {asked[ref].host} has {_versions(found)}, and this process "
                f"{_versions(own)}; a cluster must have the same everywhere"
            )


def _check_reachable(address: str) -> None:
    host, _, port = address.rpartition(":")
    # Ray itself would wait for minutes for a server that is something else, and the resolver of
    # names as long as it likes.
    asking = _Asking(_as_ray_sees(host), port)
    asking.start()
    asking.join(_ANSWER_S)
    if not asking.is_answered:
        raise InputError(
            f"no Ray cluster answers at {address}; --executor must be ray://HOST:PORT of the head, "
            "and this machine a node of it"
        )


class _Asking(threading.Thread):
    """Asks a head for its nodes; not to be waited for, since Ray's client may never return."""

    def __init__(self, host: str, port: str) -> None:
        super().__init__(daemon=True)
        self._host, self._port = host, port
        self.is_answered = False

    def run(self) -> None:
        from ray._raylet import GcsClient  # type: ignore[attr-defined]

        # Errors of several unrelated classes; all mean that this is no head.
        with suppress(Exception):
            with socket.create_connection((self._host, int(self._port)), timeout=_ANSWER_S):
                pass
            GcsClient(address=f"{self._host}:{self._port}").get_all_node_info(timeout=_ANSWER_S)
            self.is_answered = True


def _as_ray_sees(host: str) -> str:
    """Return the address that Ray takes for this machine's own."""
    if host not in ("localhost", "127.0.0.1"):
        return host
    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _versions(found: dict[str, str]) -> str:
    return " and ".join(f"{name} {version}" for name, version in found.items())


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
