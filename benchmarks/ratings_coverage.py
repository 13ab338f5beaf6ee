"""How often do intervals of ratings and ranks hold the truth? Simulations with known truth.

    python benchmarks/ratings_coverage.py [--runs 400] [--only TEXT]

Each scenario draws strengths, votes with effects of raters and prompts on them, and rates with the
clustering that claims to hold there. The truth is the Bradley–Terry fit to infinitely many votes by
infinitely many raters on infinitely many prompts. Exit code 1 if ratings or ranks are outside .93
to .97, or simultaneous ranks below .95, by more than chance.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np

from evalcore.stats.bradley_terry import fit_bradley_terry
from evalcore.stats.counts import Counts
from evalcore.stats.davidson import fit_davidson
from evalcore.stats.rating_options import RatingOptions
from evalcore.stats.rating_result import POINTS
from evalcore.stats.ratings import rate_votes
from evalcore.votes import Categories, Votes

PERMITTED = {"ratings": (0.93, 0.97), "ranks": (0.93, 0.97), "simultaneous": (0.95, 1.0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How votes come about, and how they are rated."""

    name: str
    clusters: tuple[str, ...] = ()
    ties: str = "half"
    n_votes: int = 4000
    n_models: int = 20
    n_raters: int = 100
    n_prompts: int = 200
    spread: float = 0.8
    rater_sd: float = 0.0
    prompt_sd: float = 0.0
    dominant: float = 0.0
    """Share of the votes by one rater, beside its share of the rest."""
    nu: float = 0.5
    """Davidson's: how common ties are; 0 for none."""


SCENARIOS = (
    Scenario(name="independent votes"),
    Scenario(name="independent votes, clustered by rater", clusters=("rater",)),
    Scenario(name="independent votes, clustered by both", clusters=("rater", "example")),
    Scenario(name="independent votes, Davidson", ties="davidson"),
    Scenario(name="no ties", nu=0.0),
    Scenario(name="80 votes on each model", n_votes=800),
    Scenario(name="rater effects", clusters=("rater",), rater_sd=0.6),
    Scenario(name="rater effects, Davidson", clusters=("rater",), rater_sd=0.6, ties="davidson"),
    Scenario(name="rater effects, 12 raters", clusters=("rater",), rater_sd=0.6, n_raters=12),
    Scenario(name="prompt effects", clusters=("example",), prompt_sd=0.6),
    Scenario(name="both", clusters=("rater", "example"), rater_sd=0.6, prompt_sd=0.6),
    Scenario(
        name="both, 30 raters and 40 prompts",
        clusters=("rater", "example"),
        rater_sd=0.6,
        prompt_sd=0.6,
        n_raters=30,
        n_prompts=40,
    ),
    Scenario(name="one rater with 30 %", clusters=("rater",), rater_sd=0.6, dominant=0.3),
    Scenario(name="models close together", spread=0.05),
)


def probabilities(logit: np.ndarray, nu: float) -> tuple[np.ndarray, np.ndarray]:
    """Davidson's probability of a win and of a tie."""
    half = np.exp(logit / 2)
    total = half + 1 / half + nu
    return half / total, nu / total


def draw(scenario: Scenario, rng: np.random.Generator) -> tuple[np.ndarray, Votes]:
    """Strengths, and votes on them."""
    m, n = scenario.n_models, scenario.n_votes
    strengths = rng.normal(0, scenario.spread, m)
    a = rng.integers(0, m, n)
    b = (a + rng.integers(1, m, n)) % m
    rater = rng.integers(0, scenario.n_raters, n)
    rater[rng.random(n) < scenario.dominant] = 0
    prompt = rng.integers(0, scenario.n_prompts, n)
    taste = rng.normal(0, scenario.rater_sd, (scenario.n_raters, m))
    fit = rng.normal(0, scenario.prompt_sd, (scenario.n_prompts, m))
    logit = strengths[a] - strengths[b] + taste[rater, a] - taste[rater, b]
    logit += fit[prompt, a] - fit[prompt, b]
    win, tie = probabilities(logit, scenario.nu)
    chance = rng.random(n)
    winner = np.where(chance < win, 0, np.where(chance < win + tie, 2, 1)).astype(np.uint8)
    votes = Votes(
        models=tuple(f"m{i:02}" for i in range(m)),
        model_a=a,
        model_b=b,
        winner=winner,
        rater=categories(rater, scenario.n_raters),
        example=categories(prompt, scenario.n_prompts),
    )
    return strengths, votes


def categories(codes: np.ndarray, n: int) -> Categories:
    return Categories(codes=codes.astype(np.int32), names=tuple(f"{i:03}" for i in range(n)))


def truth(scenario: Scenario, strengths: np.ndarray) -> np.ndarray:
    """Ratings by infinitely many votes: effects averaged out by Gauss–Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    sd = np.sqrt(2 * (scenario.rater_sd**2 + scenario.prompt_sd**2))
    logit = strengths[:, None] - strengths
    pairs = [probabilities(logit + sd * node, scenario.nu) for node in nodes]
    win = np.average([pair[0] for pair in pairs], axis=0, weights=weights)
    tie = np.average([pair[1] for pair in pairs], axis=0, weights=weights)
    for table in (win, tie):
        np.fill_diagonal(table, 0)
    names = tuple(map(str, range(len(strengths))))
    counts = Counts(models=names, wins=win, ties=tie, win_squares=win, tie_squares=tie)
    fitter = fit_davidson if scenario.ties == "davidson" else fit_bradley_terry
    return 1000 + POINTS * fitter(counts).strengths


def coverage(scenario: Scenario, *, runs: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Share of the models whose rating, or rank, its interval holds; with its standard error."""
    rng = np.random.default_rng(seed)
    options = RatingOptions(ties=scenario.ties, clusters=scenario.clusters)
    held: dict[str, list[float]] = {name: [] for name in PERMITTED}
    for _ in range(runs):
        strengths, votes = draw(scenario, rng)
        result = rate_votes(votes, options)
        expected = truth(scenario, strengths)
        rank = 1 + np.sum(expected > expected[:, None], axis=1)
        for name, interval, true in (
            ("ratings", result.confidence_interval(), expected),
            ("ranks", result.rank_interval(), rank),
            ("simultaneous", result.rank_interval(simultaneous=True), rank),
        ):
            held[name].append(float(np.mean((interval.low <= true) & (true <= interval.high))))
    return {
        name: (float(np.mean(shares)), float(np.std(shares) / np.sqrt(runs)))
        for name, shares in held.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    fine = True
    print(f"{'':42}{''.join(f'{name:>20}' for name in PERMITTED)}")
    for scenario in SCENARIOS:
        if options.only in scenario.name:
            found = coverage(scenario, runs=options.runs)
            shares = "".join(f"{f'{share:.3f} ± {se:.3f}':>20}" for share, se in found.values())
            print(f"{scenario.name:42}{shares}", flush=True)
            for name, (share, error) in found.items():
                low, high = PERMITTED[name]
                fine &= low - 3 * error <= share <= high + 3 * error
    sys.exit(not fine)


if __name__ == "__main__":
    main()
