"""How often do intervals hold the truth, and how often do tests err? Simulations with known truth.

    python benchmarks/coverage.py [--runs 2000] [--only TEXT] [--seed 0]

Prints the rate of each scenario, its standard error and the range it has to be in, and ends with
exit code 1 if one lies outside by more than three standard errors. Reduced versions run in the
tests.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import special

from evalcore.records import Estimate
from evalcore.stats.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha
from evalcore.stats.fusion import JudgedVotes, fused_win_rate
from evalcore.stats.intervals import mean_estimate, proportion_estimate
from evalcore.stats.labels import Labels
from evalcore.stats.length_control import LengthData, length_controlled_win_rate
from evalcore.stats.paired import paired_difference, stratified_difference
from evalcore.stats.parity import parity_test
from evalcore.stats.planning import Study, VoteModel, parity_power, votes_needed
from evalcore.stats.sequential import (
    asymptotic_sequence,
    beta_binomial_sequence,
    empirical_bernstein_sequence,
)
from evalcore.stats.win_rate import PairVotes, win_rate, win_rate_posterior

Rng = np.random.Generator
COVERAGE = (0.93, 0.97)
EXACT = (0.95, 1.0)
SIZE = (0.0, 0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """An event that should happen with a probability in a range."""

    name: str
    happens: Callable[[Rng], bool]
    permitted: tuple[float, float] = COVERAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossed:
    """A study in which prompts and raters have effects on the logit scale."""

    n_votes: int
    n_prompts: int
    n_raters: int
    prompt_sd: float = 1.0
    rater_sd: float = 0.5
    tie_share: float = 0.0
    level: float = 0.0
    """Mean logit."""
    dominating: float = 0.0
    """Share of votes by one rater."""

    @property
    def truth(self) -> float:
        """True win rate over prompts and raters."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        logits = self.level + math.hypot(self.prompt_sd, self.rater_sd) * nodes
        decided = float(special.expit(logits) @ weights / weights.sum())
        return self.tie_share / 2 + (1 - self.tie_share) * decided

    def draw(self, rng: Rng) -> PairVotes:
        """Make a study's votes."""
        prompt = rng.integers(self.n_prompts, size=self.n_votes)
        rater = rng.integers(self.n_raters, size=self.n_votes)
        rater = np.where(rng.random(self.n_votes) < self.dominating, 0, rater)
        logit = self.level + rng.normal(0, self.prompt_sd, self.n_prompts)[prompt]
        logit = logit + rng.normal(0, self.rater_sd, self.n_raters)[rater]
        scores = np.where(rng.random(self.n_votes) < special.expit(logit), 1.0, 0.0)
        scores[rng.random(self.n_votes) < self.tie_share] = 0.5
        return PairVotes(scores=scores, raters=rater, examples=prompt)


def holds(estimate: Estimate, truth: float) -> bool:
    """Tell whether the interval holds the truth."""
    return estimate.low <= truth <= estimate.high


def votes(rng: Rng, n: int, rate: float, tie_share: float) -> PairVotes:
    """Draw independent votes."""
    shares = [1 - rate - tie_share / 2, tie_share, rate - tie_share / 2]
    return PairVotes(scores=rng.choice([0.0, 0.5, 1.0], p=shares, size=n))


def means() -> Iterator[Scenario]:
    """Yield intervals of means and proportions."""
    draws: dict[str, tuple[Callable[[Rng, int], np.ndarray], float]] = {
        "normal": (lambda rng, n: rng.normal(0.5, 1, n), 0.5),
        "beta(.3, .6)": (lambda rng, n: rng.beta(0.3, 0.6, n), 1 / 3),
        "F1 with half zeros": (
            lambda rng, n: np.where(rng.random(n) < 0.5, 0, rng.beta(2, 1, n)),
            1 / 3,
        ),
        "exponential": (lambda rng, n: rng.exponential(size=n), 1.0),
    }
    for (name, (draw, truth)), n in (
        (item, n) for item in draws.items() for n in (10, 25, 50, 200, 800)
    ):

        def happens(rng: Rng, draw=draw, truth=truth, n=n) -> bool:
            return holds(mean_estimate(draw(rng, n), seed=int(rng.integers(1 << 30))), truth)

        yield Scenario(name=f"mean, {name}, n={n}", happens=happens)
    for n, sd in ((30, 0.5), (30, 1.0), (200, 1.0)):

        def ratio(rng: Rng, n=n, sd=sd) -> bool:
            return holds(mean_estimate(rng.normal(2, 1, n), weights=rng.lognormal(0, sd, n)), 2.0)

        yield Scenario(name=f"ratio, log-normal weights sd={sd}, n={n}", happens=ratio)
    for n_groups, size, share in ((15, 20, 0.5), (30, 10, 0.8), (100, 3, 0.9), (30, 10, 0.95)):

        def grouped(rng: Rng, n_groups=n_groups, size=size, share=share) -> bool:
            groups = np.repeat(np.arange(n_groups), size)
            latent = 0.6 * rng.normal(size=n_groups)[groups] + rng.normal(size=len(groups))
            cut = math.sqrt(1.36) * special.ndtri(share)
            return holds(proportion_estimate(latent < cut, groups=groups), share)

        yield Scenario(name=f"proportion, {n_groups} groups of {size}, p={share}", happens=grouped)


def differences() -> Iterator[Scenario]:
    """Yield paired differences."""
    for n, right in ((50, 0.7), (200, 0.7), (200, 0.95)):

        def binary(rng: Rng, n=n, right=right) -> bool:
            hard = rng.random(n)
            first = (hard + 0.2 * rng.normal(size=n)) < right
            second = (hard + 0.2 * rng.normal(size=n)) < right
            return holds(paired_difference(first, second).difference, 0.0)

        yield Scenario(name=f"paired 0/1 (Tango), n={n}, p={right}", happens=binary)
    for n in (50, 200):

        def metric(rng: Rng, n=n) -> bool:
            change = np.where(rng.random(n) < 0.6, 0, rng.normal(0.05, 0.3, n))
            seed = int(rng.integers(1 << 30))
            return holds(paired_difference(change, np.zeros(n), seed=seed).difference, 0.02)

        yield Scenario(name=f"paired bootstrap, 60 % ties, n={n}", happens=metric)

        def level(rng: Rng, n=n) -> bool:
            change = np.where(rng.random(n) < 0.6, 0, rng.normal(0, 0.3, n))
            return paired_difference(change, np.zeros(n)).p_value < 0.05

        yield Scenario(name=f"sign flip, level, n={n}", happens=level, permitted=(0.03, 0.055))

    def macro(rng: Rng) -> bool:
        tasks = [(rng.random(n) < 0.75, rng.random(n) < 0.7, None) for n in (30, 100, 400)]
        return holds(stratified_difference(tasks).difference, 0.05)

    yield Scenario(name="macro average of three 0/1 tasks", happens=macro)


def win_rates() -> Iterator[Scenario]:
    """Yield win rates of independent and of clustered votes."""
    cases = ((15, 0.5, 0.2), (30, 0.9, 0.0))
    for n, rate, tie in cases:
        yield Scenario(
            name=f"win rate, exact, n={n}, p={rate}, ties {tie}",
            happens=lambda rng, n=n, rate=rate, tie=tie: holds(
                win_rate(votes(rng, n, rate, tie)).estimate, rate
            ),
            permitted=EXACT,
        )
    cases = (
        *((100, rate, tie) for tie in (0.0, 0.2, 0.6) for rate in (0.5, 0.65)),
        *((300, 0.97, 0.0), (300, 0.5, 0.9), (1000, 0.55, 0.35)),
    )
    for n, rate, tie in cases:
        yield Scenario(
            name=f"win rate, score, n={n}, p={rate}, ties {tie}",
            happens=lambda rng, n=n, rate=rate, tie=tie: holds(
                win_rate(votes(rng, n, rate, tie)).estimate, rate
            ),
        )
        yield Scenario(
            name=f"win rate, posterior, n={n}, p={rate}, ties {tie}",
            happens=lambda rng, n=n, rate=rate, tie=tie: holds(
                win_rate_posterior(win_rate(votes(rng, n, rate, tie)).effective).estimate, rate
            ),
        )
    studies = {
        "Koala-like": Crossed(n_votes=1800, n_prompts=180, n_raters=100),
        "Koala-like, 30 % ties": Crossed(n_votes=1800, n_prompts=180, n_raters=100, tie_share=0.3),
        "ten raters": Crossed(n_votes=1800, n_prompts=180, n_raters=10),
        "five raters": Crossed(n_votes=300, n_prompts=100, n_raters=5),
        "small": Crossed(n_votes=100, n_prompts=40, n_raters=10),
        "no effects": Crossed(n_votes=600, n_prompts=100, n_raters=30, prompt_sd=0.0, rater_sd=0.0),
        "strong raters": Crossed(
            n_votes=1000, n_prompts=500, n_raters=20, prompt_sd=0.0, rater_sd=1.0
        ),
        "win rate near 1": Crossed(n_votes=600, n_prompts=100, n_raters=30, level=3.5),
        "many ties": Crossed(n_votes=600, n_prompts=100, n_raters=30, tie_share=0.8),
        "one rater has 30 %": Crossed(
            n_votes=600, n_prompts=100, n_raters=30, rater_sd=0.6, dominating=0.3
        ),
    }
    for name, study in studies.items():
        yield Scenario(
            name=f"win rate, two-way, {name}",
            happens=lambda rng, study=study: holds(win_rate(study.draw(rng)).estimate, study.truth),
        )


def parity() -> Iterator[Scenario]:
    """Yield the size of the parity test at the margin, and its power against the plan."""
    for n, margin, tie in ((30, 0.25, 0.0), (100, 0.1, 0.0), (300, 0.1, 0.4), (857, 0.05, 0.0)):
        yield Scenario(
            name=f"parity at the margin, n={n}, ±{margin}, ties {tie}",
            happens=lambda rng, n=n, margin=margin, tie=tie: (
                parity_test(win_rate(votes(rng, n, 0.5 + margin, tie)), margin=margin).p_parity
                < 0.05
            ),
            permitted=SIZE,
        )
    for n_votes, n_prompts, n_raters in ((1800, 180, 100), (3000, 300, 10), (300, 60, 40)):
        study = Crossed(n_votes=n_votes, n_prompts=n_prompts, n_raters=n_raters, level=0.5)
        yield Scenario(
            name=f"parity at the margin, {n_votes} votes, {n_prompts} prompts, {n_raters} raters",
            happens=lambda rng, study=study: (
                parity_test(win_rate(study.draw(rng)), margin=study.truth - 0.5).p_parity < 0.05
            ),
            permitted=SIZE,
        )
    for tie in (0.0, 0.2, 0.35):
        needed = votes_needed(VoteModel(tie_share=tie), margin=0.05) or 0
        yield Scenario(
            name=f"power planned for 0.8, {needed} votes, ties {tie}",
            happens=lambda rng, tie=tie, needed=needed: (
                parity_test(win_rate(votes(rng, needed, 0.5, tie))).p_parity < 0.05
            ),
            permitted=(0.77, 0.83),
        )
    model = VoteModel(tie_share=0.2)
    for n_votes in (500, 1000, 4000):
        study = Study(n_votes=n_votes, n_prompts=100, n_raters=40)
        power = parity_power(study, model, margin=0.1)
        yield Scenario(
            name=f"power planned for {power:.2f}, {n_votes} votes, 100 prompts, 40 raters",
            happens=partial(planned_parity, study=study, model=model),
            permitted=(power - 0.04, power + 0.04),
        )


def planned_parity(rng: Rng, *, study: Study, model: VoteModel) -> bool:
    """Tell whether a study with the planned shares of variance shows parity within ±0.1."""
    prompt = np.arange(study.n_votes) % study.n_prompts
    rater = rng.integers(study.n_raters, size=study.n_votes)
    shares = np.array([model.prompt_share, model.rater_share])
    sizes = np.sqrt(shares / (1 - model.tie_share)) / 2
    effect = sizes[0] * rng.choice([-1, 1], study.n_prompts)[prompt]
    effect = effect + sizes[1] * rng.choice([-1, 1], study.n_raters)[rater]
    scores = np.where(rng.random(study.n_votes) < 0.5 + effect, 1.0, 0.0)
    scores[rng.random(study.n_votes) < model.tie_share] = 0.5
    result = win_rate(PairVotes(scores=scores, raters=rater, examples=prompt))
    return parity_test(result, margin=0.1).p_parity < 0.05


def sequences() -> Iterator[Scenario]:
    """Yield false positives of sequences looked at after every one of 5,000 votes."""
    methods = (asymptotic_sequence, empirical_bernstein_sequence, beta_binomial_sequence)
    for sequence in methods:
        for tie in (0.0, 0.2, 0.6):

            def wrong(rng: Rng, sequence=sequence, tie=tie) -> bool:
                result = sequence(votes(rng, 5000, 0.5, tie).scores)
                return bool(np.any((result.low > 0.5) | (result.high < 0.5)))

            name = f"{sequence.__name__}, every vote, ties {tie}"
            yield Scenario(name=name, happens=wrong, permitted=SIZE)


def agreements() -> Iterator[Scenario]:
    """Yield coefficients of agreement of three raters with three labels."""

    def labels(rng: Rng, n: int, accuracy: float) -> np.ndarray:
        truth = rng.integers(0, 3, n)
        wrong = (truth + rng.integers(1, 3, size=(3, n))) % 3
        return np.where(rng.random((3, n)) < accuracy, truth, wrong)

    def table(given: np.ndarray) -> Labels:
        n = given.shape[1]
        units, raters = np.tile(np.arange(n), 3), np.repeat(np.arange(3), n)
        return Labels(units=units, raters=raters, labels=given.ravel())

    for n, accuracy in ((50, 0.5), (50, 0.8), (200, 0.8), (200, 0.97)):
        agree = accuracy**2 + (1 - accuracy) ** 2 / 2
        truth = (agree - 1 / 3) / (2 / 3)
        coefficients: dict[str, Callable[[np.ndarray], Estimate]] = {
            "Cohen kappa": lambda given: cohen_kappa(given[0], given[1]),
            "Fleiss kappa": lambda given: fleiss_kappa(table(given)),
            "Krippendorff alpha": lambda given: krippendorff_alpha(table(given)),
        }
        for name, coefficient in coefficients.items():
            yield Scenario(
                name=f"{name}, n={n}, accuracy {accuracy}",
                happens=lambda rng, n=n, a=accuracy, c=coefficient, t=truth: holds(
                    c(labels(rng, n, a)), t
                ),
            )


def fused(rng: Rng, *, n: int, errors: float, bias: float, rate: float) -> bool:
    """Tell whether the fused interval holds the true win rate."""
    human = (rng.random(n + 5000) < rate).astype(float)
    judge = np.where(rng.random(len(human)) < errors, 1 - human, human)
    judge = np.where(rng.random(len(human)) < bias, 1.0, judge)
    data = JudgedVotes(human=human[:n], judge=judge[:n], judge_alone=judge[n:])
    return holds(fused_win_rate(data).estimate, rate)


def length_controlled(rng: Rng, *, n: int, model: float, truth: float) -> bool:
    """Tell whether the length-controlled interval holds the win rate at equal length."""
    length, difficulty = np.tanh(rng.normal(0.5, 1, n)), rng.normal(0, 0.8, n)
    probability = special.expit(0.7 * length + difficulty + model)
    data = LengthData(
        preferences=(rng.random(n) < probability).astype(float),
        tanh_length=length,
        difficulty=difficulty,
    )
    return holds(length_controlled_win_rate(data).estimate, truth)


def judged() -> Iterator[Scenario]:
    """Yield fusion with a judge and length control."""
    for n, errors, bias, rate in (
        *((300, 0.2, 0.0, 0.5), (300, 0.2, 0.15, 0.5), (300, 0.34, 0.0, 0.5)),
        *((100, 0.2, 0.1, 0.8), (50, 0.2, 0.0, 0.5)),
    ):
        yield Scenario(
            name=f"fusion, n={n}, errors {errors}, bias {bias}, p={rate}",
            happens=partial(fused, n=n, errors=errors, bias=bias, rate=rate),
        )
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    for n, model in ((100, 0.0), (400, -1.0), (805, -3.0)):
        truth = float(special.expit(model + 0.8 * nodes) @ weights / weights.sum())
        yield Scenario(
            name=f"length control, n={n}, true {truth:.3f}",
            happens=partial(length_controlled, n=n, model=model, truth=truth),
        )


FAMILIES = (means, differences, win_rates, parity, sequences, agreements, judged)


def run(scenario: Scenario, *, runs: int, seed: int) -> bool:
    """Simulate, print a line, and tell whether the rate is in its range."""
    rng = np.random.default_rng(seed)
    rate = float(np.mean([scenario.happens(rng) for _ in range(runs)]))
    error = math.sqrt(max(rate * (1 - rate), 1e-4) / runs)
    low, high = scenario.permitted
    good = low - 3 * error <= rate <= high + 3 * error
    mark = "" if low <= rate <= high else "  within noise" if good else "  OUTSIDE"
    print(f"{rate:.3f} ± {error:.3f}  [{low:.2f}, {high:.2f}]  {scenario.name}{mark}", flush=True)
    return good


def main() -> None:
    """Run the scenarios asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000, help="simulations of each scenario")
    parser.add_argument("--only", default="", help="run scenarios whose name holds this text")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    scenarios = [scenario for family in FAMILIES for scenario in family()]
    chosen = [scenario for scenario in scenarios if options.only in scenario.name]
    good = [run(scenario, runs=options.runs, seed=options.seed) for scenario in chosen]
    print(f"{sum(good)} of {len(good)} in range")
    sys.exit(0 if good and all(good) else 1)


if __name__ == "__main__":
    main()
