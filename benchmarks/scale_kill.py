"""Kill workers, nodes and drivers of a cluster at random, and compare the rows stored.

A cluster of three Ray nodes is started on this machine. A fake model that takes its time answers
prompts (tests/cluster_driver.py has it), while workers, then nodes, then drivers are ended by
SIGKILL, so many of each. A killed driver is started again until the job is done.

    python benchmarks/scale_kill.py --kills 20
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
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_health_check_period_ms="1000",
    RAY_health_check_failure_threshold="3",
)

from ray import cloudpickle
from ray.cluster_utils import Cluster

DRIVER = Path(__file__).resolve().parent.parent / "tests" / "cluster_driver.py"
SMALL: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}
QUERIES = (
    "SELECT fingerprint, request_key, example_id, text FROM generation ORDER BY 1, 2",
    "SELECT fingerprint, SUM(prefill_tokens), SUM(decode_tokens) FROM work GROUP BY 1",
)
Facts = list[list[tuple[object, ...]]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--prompts-per-kill", type=int, default=300)
    given = options.parse_args()
    rng = random.Random(given.seed)
    n_prompts = given.kills * given.prompts_per_kill
    driver = _driver()
    cluster = Cluster(initialize_head=True, head_node_args={**SMALL, "include_dashboard": False})
    good = True
    try:
        for _ in range(2):
            cluster.add_node(**SMALL)
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder) / "here"
            driver.REQUEST_S, told = 0.0, driver.REQUEST_S
            driver.answer(driver.here(), here, driver.prompts(n_prompts))
            driver.REQUEST_S = told
            for kind in ("worker", "node", "driver"):
                there = Path(folder) / kind
                began = time.monotonic()
                done = KILLERS[kind](cluster, driver, there, n_prompts, given.kills, rng)
                same = facts(there) == facts(here)
                good &= same and done >= given.kills
                found = {"kind": kind, "kills": done, "equal": same, "rows": len(facts(there)[0])}
                print(json.dumps({**found, "took_s": time.monotonic() - began}), flush=True)
    finally:
        cluster.shutdown()
    sys.exit(0 if good else 1)


def facts(workspace: Path) -> Facts:
    """Everything stored but times."""
    connection = sqlite3.connect(workspace / "parity.sqlite")
    try:
        return [connection.execute(query).fetchall() for query in QUERIES]
    finally:
        connection.close()


def kill_workers(
    cluster: Cluster, driver: ModuleType, there: Path, n: int, n_kills: int, rng: random.Random
) -> int:
    def kill(executor: Any) -> bool:
        started = [member for member in list(executor.pool.members) if member.about]
        if started:
            os.kill(rng.choice(started).about.pid, signal.SIGKILL)
        return bool(started)

    return _disturbed(cluster, driver, there, n, n_kills, kill=kill, rng=rng)


def kill_nodes(
    cluster: Cluster, _driver: ModuleType, there: Path, n: int, n_kills: int, rng: random.Random
) -> int:
    """Kill a node under each of so many jobs, each longer than the one before, and replace it.

    The head's node, which is the driver's, is left alone.
    """
    n_killed = 0
    for number in range(1, n_kills + 1):
        stored = _n_stored(there)
        command = [sys.executable, str(DRIVER), cluster.address, str(there)]
        with subprocess.Popen(
            [*command, str(n * number // n_kills)], stdout=subprocess.DEVNULL
        ) as running:
            while running.poll() is None and _n_stored(there) == stored:
                time.sleep(0.02)
            time.sleep(rng.uniform(0.0, 0.3))
            n_killed += running.poll() is None
            node = rng.choice(sorted(cluster.worker_nodes, key=id))
            cluster.remove_node(node, allow_graceful=False)
            cluster.add_node(**SMALL)
    return n_killed


def kill_drivers(
    cluster: Cluster, _driver: ModuleType, there: Path, n: int, n_kills: int, rng: random.Random
) -> int:
    """Kill the driver some time after it has stored something more."""
    command = [sys.executable, str(DRIVER), cluster.address, str(there), str(n)]
    n_killed = 0
    while n_killed < n_kills:
        stored = _n_stored(there)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
            while running.poll() is None and _n_stored(there) == stored:
                time.sleep(0.02)
            time.sleep(rng.uniform(0.0, 0.5))
            n_killed += running.poll() is None
            running.kill()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return n_killed


KILLERS: dict[str, Callable[..., int]] = {
    "worker": kill_workers,
    "node": kill_nodes,
    "driver": kill_drivers,
}


def _disturbed(
    cluster: Cluster,
    driver: ModuleType,
    there: Path,
    n_prompts: int,
    n_kills: int,
    *,
    kill: Callable[[Any], bool],
    rng: random.Random,
) -> int:
    """Answer prompts while a thread kills; return how often it did before all was answered."""
    n_killed = 0
    is_done = threading.Event()
    parts: Sequence[int] = [n_prompts // 4, n_prompts // 2, n_prompts]

    def disturb(executor: Any) -> None:
        nonlocal n_killed
        while n_killed < n_kills and not is_done.wait(rng.uniform(0.3, 1.2)):
            if executor.pool is not None and executor.pool.seats:
                n_killed += kill(executor)

    with driver.there(cluster.address, there) as executor:
        killer = threading.Thread(target=disturb, args=(executor,))
        killer.start()
        try:
            for part in parts:
                driver.answer(executor, there, driver.prompts(part))
        finally:
            is_done.set()
            killer.join()
    return n_killed


def _n_stored(workspace: Path) -> int:
    try:
        return len(facts(workspace)[0])
    except sqlite3.OperationalError:
        return 0


def _driver() -> ModuleType:
    """Load the fake model's module, which travels to the workers as code."""
    spec = importlib.util.spec_from_file_location("cluster_driver", DRIVER)
    if spec is None or spec.loader is None:
        raise ImportError(DRIVER)
    module = importlib.util.module_from_spec(spec)
    sys.modules["cluster_driver"] = module
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    return module


if __name__ == "__main__":
    main()
