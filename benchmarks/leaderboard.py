"""How long a leaderboard takes from the workspace, and MLflow's own search beside it.

    python benchmarks/leaderboard.py [--votes N] [--models N] [--tasks N] [--examples N]
    python benchmarks/leaderboard.py --mlflow [--runs N]

The first makes a workspace of votes by people and a judge, and of scores, on SQLite. Its standings
are read once, which also keeps columns beside the rows; then with the workspace opened anew; then
again and again from one that stays open, as the reading page has it, which makes runs, votes and
scores anew only if they changed. The second puts as many runs into MLflow (SQLite) as the workspace
has, and orders them by a metric in turns with the leaderboard of all of them, alone and with the
table that a terminal of 200 columns shows. Give ``nice`` and one
thread (``OMP_NUM_THREADS=1``) on a busy machine, and go by CPU time.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rich.console import Console

from evalcore.codec import to_json
from evalcore.hashing import content_hash
from evalcore.records import Efficiency, EvalRun, Example, Message, ModelSpec
from evalcore.stats.intervals import proportion_estimate
from evalcore.store import Store, open_store
from leaderboards.standings import standings
from leaderboards.table import render

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

NOW = "2026-01-01T00:00:00Z"
CHUNK = 100_000


class Took(NamedTuple):
    """Seconds, or ratios of them."""

    wall_s: float
    cpu_s: float


def specs(n_models: int) -> list[ModelSpec]:
    return [
        ModelSpec(name=f"model {place:03d}", backend="imported", weights=f"model {place:03d}")
        for place in range(n_models)
    ]


def add_votes(store: Store, models: list[ModelSpec], n_votes: int) -> None:
    rng = np.random.default_rng(0)
    names = np.array([spec.fingerprint for spec in models])
    strength = rng.normal(0, 0.7, len(models))
    examples = np.array([content_hash(["example", place]) for place in range(5_000)])
    for start in range(0, n_votes, CHUNK):
        n = min(CHUNK, n_votes - start)
        a = rng.integers(0, len(models), n)
        b = (a + rng.integers(1, len(models), n)) % len(models)
        wins = rng.random(n) < 1 / (1 + np.exp(strength[b] - strength[a]))
        winner = np.where(rng.random(n) < 0.2, "tie", np.where(wins, "model_a", "model_b"))
        is_human = rng.random(n) < 0.5
        rater = np.array([f"rater {k}" for k in range(3_000)])[rng.integers(0, 3_000, n)]
        columns = {
            "id": [f"{start + place:032x}" for place in range(n)],
            "example_id": examples[rng.integers(0, len(examples), n)].tolist(),
            "model_a": names[a].tolist(),
            "model_b": names[b].tolist(),
            "winner": winner.tolist(),
            "rater": np.where(is_human, rater, "judge").tolist(),
            "rater_kind": np.where(is_human, "human", "judge").tolist(),
            "swapped": [False] * n,
            "created_utc": [NOW] * n,
            "explanation": [""] * n,
        }
        insert(store, "comparison", columns)


def add_scores(store: Store, models: list[ModelSpec], n_tasks: int, n_examples: int) -> None:
    rng = np.random.default_rng(1)
    skill = rng.uniform(0.3, 0.8, len(models))
    for number in range(n_tasks):
        task, task_hash = f"task {number:03d}", content_hash(["task", number])
        ids = [content_hash([task, place]) for place in range(n_examples)]
        contents = [
            to_json(Example(id=key, messages=(Message(role="user", content="?"),))) for key in ids
        ]
        insert(store, "example", {"id": ids, "content": contents})
        places = {"task_hash": [task_hash] * n_examples, "position": list(range(n_examples))}
        insert(store, "task_example", {**places, "example_id": ids})
        runs = []
        for spec, share in zip(models, skill, strict=True):
            values = (rng.random(n_examples) < share).astype(float)
            shared = {"task_hash": task_hash, "metric": "exact_match"}
            columns = {key: [value] * n_examples for key, value in shared.items()}
            columns["fingerprint"] = [spec.fingerprint] * n_examples
            columns |= {"example_id": ids, "value": values.tolist(), "weight": [1.0] * n_examples}
            insert(store, "score", columns)
            runs.append(run_of(spec, task, task_hash, values))
        insert(
            store,
            "eval_run",
            {
                "run_id": [run.run_id for run in runs],
                "fingerprint": [run.spec.fingerprint for run in runs],
                "task_hash": [task_hash] * len(runs),
                "task": [task] * len(runs),
                "record": [to_json(run) for run in runs],
                "created_utc": [NOW] * len(runs),
            },
        )


def run_of(spec: ModelSpec, task: str, task_hash: str, values: np.ndarray) -> EvalRun:
    return EvalRun(
        run_id=content_hash([spec.fingerprint, task_hash]),
        spec=spec,
        task=task,
        task_hash=task_hash,
        primary_metric="exact_match",
        higher_is_better={"exact_match": True},
        params={"n_shot": 0, "generation": {"max_new_tokens": 16}},
        estimates={"exact_match": proportion_estimate(values)},
        efficiency=Efficiency(decode_tokens=900, decode_s=3.0),
        n_examples=len(values),
        created_utc=NOW,
        code_version="parity-eval 0.1.0",
        environment={"python": "3.11.7", "torch": "2.13.0"},
    )


def insert(store: Store, table: str, columns: dict[str, list]) -> None:
    """Insert by the driver itself: a benchmark's data are not what it measures."""
    names = ", ".join(columns)
    marks = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table} ({names}) VALUES ({marks})"
    with store.engine.begin() as connection:
        driver = connection.connection.driver_connection
        driver.executemany(statement, zip(*columns.values(), strict=True))


def timed(action: Callable[[], object]) -> Took:
    """Wall time and time of this process, in seconds; without the garbage of what ran before."""
    gc.collect()
    start, cpu = time.perf_counter(), time.process_time()
    action()
    return Took(time.perf_counter() - start, time.process_time() - cpu)


def middle(rounds: list[Took]) -> Took:
    return Took(*(median(values) for values in zip(*rounds, strict=True)))


def opened_anew(folder: Path, *, shown: bool = False) -> Took:
    """Time a first reading: opening the workspace, and nothing read before."""

    def read() -> None:
        with open_store(folder) as store:
            board = standings(store)
        if shown:
            Console(width=200, file=io.StringIO()).print(render(board))

    return timed(read)


def say(what: str, took: Took) -> None:
    print(f"{what:34}{took.wall_s:8.2f} s {took.cpu_s:8.2f} s CPU", flush=True)


def from_workspace(chosen: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name, open_store(Path(name)) as store:
        models = specs(chosen.models)
        for spec in models:
            store.add_model(spec)
        add_votes(store, models, chosen.votes)
        add_scores(store, models, chosen.tasks, chosen.examples)
        print(
            f"{chosen.votes:,} comparisons, {chosen.models} models, {chosen.tasks} tasks of "
            f"{chosen.examples} examples; load {os.getloadavg()[0]:.1f}"
        )
        say("first reading ever", opened_anew(Path(name)))
        say("workspace opened anew", middle([opened_anew(Path(name)) for _ in range(3)]))
        standings(store)
        say("again", middle([timed(lambda: standings(store)) for _ in range(5)]))
        add = {**VOTE, "model_a": models[0].fingerprint, "model_b": models[1].fingerprint}
        insert(store, "comparison", {key: [value] for key, value in add.items()})
        say("after one more vote", timed(lambda: standings(store)))


VOTE = {
    "id": "one more",
    "example_id": content_hash(["example", 0]),
    "winner": "tie",
    "rater": "rater 0",
    "rater_kind": "human",
    "swapped": False,
    "created_utc": NOW,
    "explanation": "",
}


def beside_mlflow(chosen: argparse.Namespace) -> None:
    from leaderboards.tracking import MlflowClient

    n_models, n_tasks = 100, chosen.runs // 100
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "out") as store:
        models = specs(n_models)
        for spec in models:
            store.add_model(spec)
        add_scores(store, models, n_tasks, 100)
        client = MlflowClient(f"sqlite:///{Path(folder) / 'mlflow.db'}")
        experiment = client.create_experiment("runs", artifact_location=folder)
        fill(Path(folder) / "mlflow.db", experiment, chosen.runs)
        standings(store)
        print(f"{chosen.runs:,} runs; load {os.getloadavg()[0]:.1f}")
        workspace = Path(folder) / "out"
        ours = {
            "opened anew": lambda: opened_anew(workspace),
            "opened anew, with its table": lambda: opened_anew(workspace, shown=True),
            "again": lambda: timed(lambda: standings(store)),
        }
        rounds: dict[str, list[Took]] = {"search_runs": [], **{what: [] for what in ours}}
        for _ in range(3):
            rounds["search_runs"].append(timed(lambda: search(client, experiment)))
            for what, time_it in ours.items():
                rounds[what].append(time_it())
        for what, took in rounds.items():
            say(what, middle(took))
        for what in ours:
            ratios = [
                Took(theirs.wall_s / took.wall_s, theirs.cpu_s / took.cpu_s)
                for theirs, took in zip(rounds["search_runs"], rounds[what], strict=True)
            ]
            times = middle(ratios)
            print(f"search_runs / {what}: {times.wall_s:.1f} (CPU {times.cpu_s:.1f})")


def search(client: MlflowClient, experiment: str) -> None:
    client.search_runs([experiment], order_by=["metrics.`metric 0` DESC"], max_results=100)


def fill(database: Path, experiment: str, n_runs: int) -> None:
    """Put runs with 30 metrics, 15 parameters and 8 tags each into MLflow's own tables."""
    import sqlite3

    rng = np.random.default_rng(2)
    with sqlite3.connect(database) as connection:
        for name, rows in tables(experiment, n_runs, rng):
            rows = list(rows)
            names, marks = ", ".join(rows[0]), ", ".join("?" * len(rows[0]))
            connection.executemany(
                f"INSERT INTO {name} ({names}) VALUES ({marks})", [tuple(r.values()) for r in rows]
            )
    connection.close()


def tables(experiment: str, n_runs: int, rng: np.random.Generator) -> Iterator[tuple[str, list]]:
    ids = [f"{number:032x}" for number in range(n_runs)]
    yield (
        "runs",
        [
            {
                "run_uuid": key,
                "name": key[-6:],
                "source_type": "LOCAL",
                "source_name": "",
                "entry_point_name": "",
                "user_id": "parity",
                "status": "FINISHED",
                "start_time": 1,
                "end_time": 2,
                "source_version": "",
                "lifecycle_stage": "active",
                "artifact_uri": "",
                "experiment_id": experiment,
            }
            for key in ids
        ],
    )
    metrics = [
        {
            "key": f"metric {number}",
            "value": float(rng.random()),
            "timestamp": 1,
            "step": 0,
            "is_nan": False,
            "run_uuid": key,
        }
        for key in ids
        for number in range(30)
    ]
    yield "metrics", metrics
    yield "latest_metrics", metrics
    yield (
        "params",
        [{"key": f"p{n}", "value": str(n), "run_uuid": key} for key in ids for n in range(15)],
    )
    yield (
        "tags",
        [
            {"key": f"t{n}", "value": json.dumps(n), "run_uuid": key}
            for key in ids
            for n in range(8)
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--votes", type=int, default=1_000_000)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--mlflow", action="store_true")
    parser.add_argument("--runs", type=int, default=10_000)
    chosen = parser.parse_args()
    (beside_mlflow if chosen.mlflow else from_workspace)(chosen)


if __name__ == "__main__":
    main()
