"""How many scores a second the workspace takes on SQLite, beside the same rows one by one.

Run it with ``python benchmarks/store.py``. Both sides write to the same kind of fresh database, in
turns; the ratio is the median over rounds.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from evalcore.records import Score
from evalcore.store import Store, open_store

N_SCORES = 200_000
N_SINGLE = 1_000
ROUNDS = 5


def make_scores(n: int) -> list[Score]:
    shared = {"fingerprint": "f" * 32, "task_hash": "t" * 32, "metric": "exact_match"}
    return [Score(example_id=f"{i:032x}", value=float(i % 2), **shared) for i in range(n)]


def per_second(write: Callable[[Store, list[Score]], None], scores: list[Score]) -> float:
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder)) as store:
        begin = time.perf_counter()
        write(store, scores)
        return len(scores) / (time.perf_counter() - begin)


def write_together(store: Store, scores: list[Score]) -> None:
    store.add_scores(scores)


def write_singly(store: Store, scores: list[Score]) -> None:
    for score in scores:
        store.add_scores([score])


def main() -> None:
    scores = make_scores(N_SCORES)
    rounds = [
        (per_second(write_together, scores), per_second(write_singly, scores[:N_SINGLE]))
        for _ in range(ROUNDS)
    ]
    together = statistics.median(fast for fast, _ in rounds)
    ratio = statistics.median(fast / slow for fast, slow in rounds)
    print(f"{together:,.0f} scores/s together, {ratio:.0f} times as many as one by one")


if __name__ == "__main__":
    main()
