"""How many votes it takes to settle the top 5 of 20 models, chosen and at random.

    python benchmarks/active_pairing.py [--runs 20] [--cap 400000]

Strengths are drawn from N(0, 0.8²), 16 % of the votes are ties. A run ends when each of the top 5
is better than each of the others at 99 %; runs that reach the cap count as ended there.
"""

from __future__ import annotations

import argparse

import numpy as np

from evalcore.stats.counts import Counts
from evalcore.stats.pairing import PairingPolicy, next_battles, top_set

N_MODELS, TOP, TIES = 20, 5, 0.16
NAMES = tuple(f"m{i:02}" for i in range(N_MODELS))
PLACE = {name: i for i, name in enumerate(NAMES)}


def play(counts: Counts, pairs: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> Counts:
    a, b = pairs.T
    tie = rng.random(len(a)) < TIES
    won = rng.random(len(a)) < 1 / (1 + np.exp(truth[b] - truth[a]))
    wins, ties = counts.wins.copy(), counts.ties.copy()
    np.add.at(wins, (np.where(won, a, b)[~tie], np.where(won, b, a)[~tie]), 1)
    np.add.at(ties, (a[tie], b[tie]), 1)
    np.add.at(ties, (b[tie], a[tie]), 1)
    return Counts(models=NAMES, wins=wins, ties=ties, win_squares=wins, tie_squares=ties)


def choose(counts: Counts, n: int, active: bool, rng: np.random.Generator) -> np.ndarray:
    if active:
        battles = next_battles(counts, PairingPolicy(top_k=TOP), n=n, rng=rng)
        return np.array([[PLACE[one.model_a], PLACE[one.model_b]] for one in battles])
    a = rng.integers(0, N_MODELS, n)
    return np.column_stack([a, (a + rng.integers(1, N_MODELS, n)) % N_MODELS])


def settle(seed: int, *, active: bool, cap: int) -> tuple[int, bool]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 0.8, N_MODELS)
    none = np.zeros((N_MODELS, N_MODELS))
    counts = Counts(models=NAMES, wins=none, ties=none, win_squares=none, tie_squares=none)
    n_votes = 0
    while n_votes < cap:
        step = max(10, n_votes // 100)
        counts = play(counts, choose(counts, step, active, rng), truth, rng)
        n_votes += step
        top = top_set(counts, TOP)
        if top.settled:
            return n_votes, set(top.models) == {NAMES[i] for i in np.argsort(-truth)[:TOP]}
    return cap, False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--cap", type=int, default=400_000)
    options = parser.parse_args()
    medians = {}
    for name, active in (("chosen", True), ("at random", False)):
        found = [settle(seed, active=active, cap=options.cap) for seed in range(options.runs)]
        ended = [right for n_votes, right in found if n_votes < options.cap]
        medians[name] = float(np.median([n_votes for n_votes, _ in found]))
        print(
            f"{name:10} median {medians[name]:>9,.0f} votes; "
            f"{len(ended)} of {options.runs} ended, {sum(ended)} with the right models"
        )
    print(f"{medians['at random'] / medians['chosen']:.1f} times fewer votes")


if __name__ == "__main__":
    main()
