"""How long ratings take, beside arena-rank and evalica, in turns on one core.

    python benchmarks/ratings.py [--arena-rank-python PATH] [--millions 10] [--rounds 3]
                                 [--only TEXT] [--json FILE]

arena-rank brings JAX along: install it in an environment of its own and name that environment's
Python, or leave it out. Each contestant runs in a process of its own, pinned to one core, makes the
same votes from the same seed, and is timed in turns with the others; ratios are medians over rounds
of the other's time through ours. Votes: 200 models met with probabilities like 1/rank, 16 % ties,
four features of style.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import numpy as np

N_MODELS = 200
TIES = 0.16
STYLE = {"length": 0.35, "headings": 0.15, "lists": 0.1, "bold": 0.05}
CHUNK = 1_000_000
WINNERS = np.array(["model_a", "model_b", "tie"], dtype=object)
NAMES = np.array([f"organisation/model-{i:03}-instruct" for i in range(N_MODELS)], dtype=object)


@dataclass(frozen=True, slots=True, kw_only=True)
class Battles:
    """Votes as codes, with the features of both answers if asked for."""

    a: np.ndarray
    b: np.ndarray
    winner: np.ndarray
    features: dict[str, np.ndarray]

    def frame(self) -> Any:
        """Spell the votes out in a data frame, as other libraries take them."""
        import pandas as pd

        columns = {
            "model_a": NAMES[self.a],
            "model_b": NAMES[self.b],
            "winner": WINNERS[self.winner],
        }
        for name, values in self.features.items():
            columns[f"{name}_a"], columns[f"{name}_b"] = values.T
        return pd.DataFrame(columns)


def make_battles(n: int, *, style: bool, seed: int = 0) -> Battles:
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, N_MODELS + 1)
    strengths = rng.normal(0, 0.8, N_MODELS)
    a, b, winner = (np.empty(n, np.uint8) for _ in range(3))
    features = {name: np.empty((n, 2)) for name in STYLE if style}
    for first in range(0, n, CHUNK):
        rows = slice(first, min(first + CHUNK, n))
        size = rows.stop - rows.start
        a[rows] = rng.choice(N_MODELS, size, p=share / share.sum())
        b[rows] = rng.choice(N_MODELS, size, p=share / share.sum())
        b[rows] = np.where(a[rows] == b[rows], (b[rows].astype(int) + 1) % N_MODELS, b[rows])
        logit = strengths[a[rows]] - strengths[b[rows]]
        for name, values in features.items():
            values[rows] = rng.gamma(2.0, 100.0, (size, 2))
            difference = (values[rows, 0] - values[rows, 1]) / values[rows].sum(axis=1)
            logit += STYLE[name] * difference / difference.std()
        won = rng.random(size) < 1 / (1 + np.exp(-logit))
        winner[rows] = np.where(rng.random(size) < TIES, 2, np.where(won, 0, 1))
    return Battles(a=a, b=b, winner=winner, features=features)


def parity_votes(battles: Battles) -> Any:
    from evalcore.votes import Votes

    return Votes(
        models=tuple(NAMES),
        model_a=battles.a,
        model_b=battles.b,
        winner=battles.winner,
        features=battles.features,
    )


def parity_codes(n: int) -> Callable[[], object]:
    from evalcore.stats.ratings import rate_votes

    votes = parity_votes(make_battles(n, style=False))
    return lambda: rate_votes(votes).confidence_interval()


def parity_strings(n: int) -> Callable[[], object]:
    from evalcore.stats.ratings import rate_votes
    from evalcore.votes import Votes

    frame = make_battles(n, style=False).frame()
    return lambda: rate_votes(Votes.from_columns(frame)).confidence_interval()


def parity_refit(n: int) -> Callable[[], object]:
    from evalcore.stats.counts import count_votes
    from evalcore.stats.ratings import rate_counts

    counts = count_votes(parity_votes(make_battles(n, style=False)))
    before = rate_counts(counts)

    def refit() -> object:
        return rate_counts(
            counts.add(NAMES[0], NAMES[1], "model_a"), start=before
        ).confidence_interval()

    return refit


def parity_rank_draws(n: int) -> Callable[[], object]:
    from evalcore.stats.ranks import rank_draws
    from evalcore.stats.ratings import rate_votes

    result = rate_votes(parity_votes(make_battles(n, style=False)))
    rng = np.random.default_rng(0)
    return lambda: rank_draws(result.ratings, result.covariance, n_draws=1000, rng=rng)


def parity_rank_intervals(n: int) -> Callable[[], object]:
    from evalcore.stats.ratings import rate_votes

    result = rate_votes(parity_votes(make_battles(n, style=False)))
    return lambda: result.rank_interval(n_draws=1000)


def parity_style(n: int) -> Callable[[], object]:
    from evalcore.stats.style import rate_at_equal_style
    from evalcore.votes import Votes

    frame = make_battles(n, style=True).frame()

    def rate() -> object:
        votes = Votes.from_columns(frame, features=tuple(STYLE))
        return rate_at_equal_style(votes, tuple(STYLE)).rating.confidence_interval()

    return rate


def arena_rank_strings(n: int) -> Callable[[], object]:
    from arena_rank.models.bradley_terry import BradleyTerry
    from arena_rank.utils.data_utils import PairDataset

    frame = make_battles(n, style=False).frame()

    def rate() -> object:
        dataset = PairDataset.from_pandas(frame)
        return BradleyTerry(n_competitors=N_MODELS).compute_ratings_and_cis(dataset)

    return rate


def arena_rank_style(n: int) -> Callable[[], object]:
    from arena_rank.models.contextual_bradley_terry import ContextualBradleyTerry
    from arena_rank.utils.data_utils import ContextualPairDataset

    battles = make_battles(n, style=True)
    frame = battles.frame()
    for name, values in battles.features.items():
        frame[name] = (values[:, 0] - values[:, 1]) / values.sum(axis=1)

    def rate() -> object:
        dataset = ContextualPairDataset.from_pandas(
            frame, feature_cols=list(STYLE), reweighted=False
        )
        model = ContextualBradleyTerry(n_competitors=N_MODELS, n_features=len(STYLE), reg=0.0)
        return model.compute_ratings_and_cis(dataset)

    return rate


def evalica_strings(n: int) -> Callable[[], object]:
    import evalica

    frame = make_battles(n, style=False).frame()
    outcome = {
        "model_a": evalica.Winner.X,
        "model_b": evalica.Winner.Y,
        "tie": evalica.Winner.Draw,
    }

    def rate() -> object:
        winners = frame["winner"].map(outcome).to_list()
        return evalica.bradley_terry(frame["model_a"], frame["model_b"], winners)

    return rate


CONTESTANTS: dict[str, Callable[[int], Callable[[], object]]] = {
    "parity codes": parity_codes,
    "parity strings": parity_strings,
    "parity refit after one vote": parity_refit,
    "parity 1,000 rank draws": parity_rank_draws,
    "parity rank intervals": parity_rank_intervals,
    "parity style": parity_style,
    "arena-rank strings": arena_rank_strings,
    "arena-rank style": arena_rank_style,
    "evalica strings, no intervals": evalica_strings,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One contestant, medians over rounds."""

    contestant: str
    n_votes: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    ratio: float | None
    """Median over rounds of its wall time through that of the first of its group."""
    cpu_ratio: float | None


class Worker:
    """A contestant in a process of its own."""

    def __init__(self, python: str, contestant: str, n_votes: int, core: int) -> None:
        self.contestant = contestant
        self.n_votes = n_votes
        arguments = [python, __file__, "--worker", contestant, str(n_votes), str(core)]
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **one_thread},
        )

    def run(self) -> dict[str, float]:
        """Have it rate once; returns its times and its peak memory so far."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.contestant} ended without an answer")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


@contextmanager
def working(python: str, contestant: str, n_votes: int, core: int) -> Iterator[Worker]:
    worker = Worker(python, contestant, n_votes, core)
    try:
        yield worker
    finally:
        worker.close()


def work(contestant: str, n_votes: int, core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    rate = CONTESTANTS[contestant](n_votes)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        rate()
        answer = {
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        print(json.dumps(answer), flush=True)


def compare(
    contestants: list[tuple[str, str]], n_votes: int, *, rounds: int, core: int
) -> list[Timing]:
    """Time contestants, given as Python and name, in turns; the first is the one compared with."""
    with ExitStack() as stack:
        workers = [
            stack.enter_context(working(python, name, n_votes, core))
            for python, name in contestants
        ]
        for worker in workers:
            worker.run()  # compiles, warms up
        times = [[worker.run() for worker in workers] for _ in range(rounds)]
    return [
        Timing(
            contestant=name,
            n_votes=n_votes,
            wall_s=statistics.median(row[i]["wall_s"] for row in times),
            cpu_s=statistics.median(row[i]["cpu_s"] for row in times),
            peak_mb=max(row[i]["peak_mb"] for row in times),
            ratio=_ratio(times, i, "wall_s"),
            cpu_ratio=_ratio(times, i, "cpu_s"),
        )
        for i, (_, name) in enumerate(contestants)
    ]


def _ratio(times: list[list[dict[str, float]]], i: int, clock: str) -> float | None:
    return statistics.median(row[i][clock] / row[0][clock] for row in times) if i else None


def groups(arena_rank: str | None, n_votes: int) -> Iterator[tuple[list[tuple[str, str]], int]]:
    ours = sys.executable
    for size in (100_000, 1_000_000, 10_000_000, 50_000_000):
        yield [(ours, "parity codes")], size
    for name in ("refit after one vote", "1,000 rank draws", "rank intervals"):
        yield [(ours, f"parity {name}")], n_votes
    theirs = [(arena_rank, "arena-rank strings")] if arena_rank else []
    evalica = (ours, "evalica strings, no intervals")
    style = [(arena_rank, "arena-rank style")] if arena_rank else []
    yield [(ours, "parity style"), *style], n_votes // 5
    yield [(ours, "parity strings"), *theirs, evalica], n_votes
    yield [(ours, "parity codes"), *theirs], n_votes


def show(timing: Timing) -> str:
    ratio = "" if timing.ratio is None else f"{timing.ratio:9.1f}x{timing.cpu_ratio:9.1f}x"
    return (
        f"{timing.contestant:30}{timing.n_votes:>12,}{1000 * timing.wall_s:>12,.1f}"
        f"{1000 * timing.cpu_s:>12,.1f}{timing.peak_mb:>10,.0f}{ratio}"
    )


def machine() -> dict[str, str]:
    names = ("numpy", "scipy", "pandas", "pyarrow", "evalica")
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in names},
    }


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arena-rank-python", metavar="PATH")
    parser.add_argument("--millions", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    print(machine())
    head = f"{'':30}{'votes':>12}{'wall ms':>12}{'cpu ms':>12}{'peak MB':>10}"
    print(f"{head}{'wall':>10}{'cpu':>10}")
    timings = []
    for contestants, n_votes in groups(options.arena_rank_python, int(1e6 * options.millions)):
        if options.only in " / ".join(name for _, name in contestants):
            found = compare(contestants, n_votes, rounds=options.rounds, core=options.core)
            print("\n".join(map(show, found)), flush=True)
            timings += found
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({**machine(), "timings": [asdict(one) for one in timings]}, file, indent=2)


if __name__ == "__main__":
    main()
