"""Kill workers, nodes and drivers of a cluster at random, and compare the rows stored.

A cluster of three Ray nodes is started on this machine, and a driver on it: a fake model that takes
its time answers prompts (tests/cluster_driver.py has it). While it works, its workers, then its
nodes, then it itself are ended by SIGKILL at random moments, so many of each. A driver that was
killed, or that has finished before enough was killed, is started again, the latter with more
prompts. The head's node is left alone, as it is the driver's own.

    python benchmarks/scale_kill.py --kills 20
    python benchmarks/scale_kill.py node --kills 5

Each kind ends in a line of JSON: whether everything stored equals an undisturbed run's, the work
counted included. Exit code 1 if it doesn't, or if there were fewer kills within --limit-s.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_health_check_period_ms="1000",
    RAY_health_check_failure_threshold="3",
)

from ray.cluster_utils import Cluster

DRIVER = Path(__file__).resolve().parent.parent / "tests" / "cluster_driver.py"
SMALL: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}
N_MORE = 5_000
"""Prompts that each new driver has more to answer than the one before: some ten seconds of work."""
MOST_PAUSE_S = 3.0
QUERIES = (
    "SELECT fingerprint, request_key, example_id, text FROM generation ORDER BY 1, 2",
    "SELECT fingerprint, SUM(prefill_tokens), SUM(decode_tokens) FROM work GROUP BY 1 ORDER BY 1",
)
Kill = Callable[[Cluster, "subprocess.Popen[bytes]", random.Random], bool]


@dataclass(frozen=True)
class Disturbed:
    """What came of a job under which something was killed."""

    kills: int
    prompts: int
    drivers: int
    """Processes that it took."""


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KILLS)}; or all")
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--limit-s", type=float, default=600.0, help="of each kind")
    given = options.parse_args()
    unknown = set(given.kinds) - set(KILLS)
    if unknown:
        sys.exit(f"scale_kill: a kind must be one of {', '.join(KILLS)}; got {', '.join(unknown)}")
    cluster = Cluster(initialize_head=True, head_node_args={**SMALL, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(**SMALL)
        # Ray's own handler would wait for half a minute for its nodes.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("scale_kill: ended by SIGTERM"))
        is_good = [measured(cluster, kind, given) for kind in given.kinds or KILLS]
    finally:
        cluster.shutdown()
    sys.exit(0 if all(is_good) else 1)


def measured(cluster: Cluster, kind: str, given: argparse.Namespace) -> bool:
    """Disturb a job, do it again undisturbed, and print how they compare."""
    rng = random.Random(f"{given.seed} {kind}")
    with tempfile.TemporaryDirectory() as folder:
        there, here = Path(folder) / "there", Path(folder) / "here"
        began = time.monotonic()
        done = disturbed(cluster, kind, there, given, rng)
        took_s = time.monotonic() - began
        driver = fake_model()
        driver.REQUEST_S = 0.0
        driver.answer(driver.here(), here, driver.prompts(done.prompts))
        is_same = facts(there) == facts(here)
        found = {"kind": kind, "kills": done.kills, "drivers": done.drivers, "equal": is_same}
        print(json.dumps({**found, "rows": n_stored(there), "took_s": round(took_s)}), flush=True)
    return is_same and done.kills >= given.kills


def disturbed(
    cluster: Cluster, kind: str, there: Path, given: argparse.Namespace, rng: random.Random
) -> Disturbed:
    """Let drivers work, one after the other, until enough was killed, and one to the end.

    Raises
    ------
    SystemExit
        If a driver fails that wasn't killed itself, or doesn't come to an end.
    """
    until = time.monotonic() + given.limit_s
    n_prompts = n_kills = n_drivers = 0
    is_killed = False
    while n_kills < given.kills and time.monotonic() < until:
        n_prompts += 0 if is_killed else N_MORE
        n_drivers += 1
        is_killed = False
        with started(cluster, there, n_prompts) as running:
            while running.poll() is None and n_kills < given.kills and time.monotonic() < until:
                pause(cluster, running, there, until, rng)
                if KILLS[kind](cluster, running, rng):
                    n_kills += 1
                    say(kind, n_kills, there)
                    is_killed = kind == "driver"
            end(running, may_be_killed=is_killed)
        wait_for(lambda: not workers(cluster), limit_s=60.0, what="a driver's workers are left")
    with started(cluster, there, n_prompts) as running:
        end(running, may_be_killed=False)
    return Disturbed(n_kills, n_prompts, n_drivers + 1)


def started(cluster: Cluster, there: Path, n_prompts: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(DRIVER), cluster.address, str(there), str(n_prompts)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def end(running: subprocess.Popen[bytes], *, may_be_killed: bool) -> None:
    """Wait for a driver's end, which may not take for ever and must be a good one."""
    try:
        code = running.wait(240)
    except subprocess.TimeoutExpired:
        running.kill()
        sys.exit("scale_kill: a driver has not come to its end within 240 s")
    if code != (-signal.SIGKILL if may_be_killed else 0):
        sys.exit(f"scale_kill: a driver ended with {code}")


def pause(
    cluster: Cluster,
    running: subprocess.Popen[bytes],
    there: Path,
    until: float,
    rng: random.Random,
) -> None:
    """Wait for a random moment of a driver's work, or for its end.

    Most often that is some time after something more was stored, so that the job gets on; else it
    is some time after there are workers, which may still be starting.
    """
    n_before, waits_for_more = n_stored(there), rng.random() < 0.75
    while running.poll() is None and time.monotonic() < until:
        if n_stored(there) > n_before if waits_for_more else workers(cluster):
            break
        time.sleep(0.05)
    with suppress(subprocess.TimeoutExpired):
        running.wait(rng.uniform(0.0, MOST_PAUSE_S))


def kill_worker(cluster: Cluster, running: subprocess.Popen[bytes], rng: random.Random) -> bool:
    at_work = workers(cluster)
    if not at_work or running.poll() is not None:
        return False
    with suppress(ProcessLookupError):
        os.kill(rng.choice(at_work), signal.SIGKILL)
        return True
    return False


def kill_node(cluster: Cluster, running: subprocess.Popen[bytes], rng: random.Random) -> bool:
    """Kill a node and all its processes, and let another one take its place."""
    node = rng.choice(sorted(cluster.worker_nodes, key=raylet))
    is_at_work = bool(actors(node)) and running.poll() is None
    cluster.remove_node(node, allow_graceful=False)
    cluster.add_node(**SMALL)
    return is_at_work


def kill_driver(_cluster: Cluster, running: subprocess.Popen[bytes], _rng: random.Random) -> bool:
    is_at_work = running.poll() is None
    running.kill()
    return is_at_work


KILLS: dict[str, Kill] = {"worker": kill_worker, "node": kill_node, "driver": kill_driver}


def workers(cluster: Cluster) -> list[int]:
    """Return the processes of the actors on a cluster's nodes."""
    return [pid for node in cluster.list_all_nodes() for pid in actors(node)]


def actors(node: Any) -> list[int]:
    """Return the processes of the actors on a node, which its raylet has started."""
    pid = raylet(node)
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        return [int(child) for child in children if is_actor(child)]
    except OSError:  # it ends at this moment
        return []


def is_actor(pid: str) -> bool:
    return b"ray::Worker" in Path(f"/proc/{pid}/cmdline").read_bytes()


def raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def wait_for(condition: Callable[[], bool], *, limit_s: float, what: str) -> None:
    until = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > until:
            sys.exit(f"scale_kill: {what} after {limit_s:g} s")
        time.sleep(0.1)


def say(kind: str, n_kills: int, there: Path) -> None:
    print(f"{kind}: {n_kills} killed, {n_stored(there)} stored", file=sys.stderr, flush=True)


def facts(workspace: Path) -> list[list[tuple[object, ...]]]:
    """Everything stored but times."""
    with closing(sqlite3.connect(workspace / "parity.sqlite")) as connection:
        return [connection.execute(query).fetchall() for query in QUERIES]


def n_stored(workspace: Path) -> int:
    try:
        with closing(sqlite3.connect(workspace / "parity.sqlite")) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM generation").fetchone()[0])
    except sqlite3.OperationalError:  # there is nothing yet
        return 0


def fake_model() -> ModuleType:
    """Load the module of the driver."""
    spec = importlib.util.spec_from_file_location("cluster_driver", DRIVER)
    if spec is None or spec.loader is None:
        raise ImportError(DRIVER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
