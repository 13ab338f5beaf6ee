"""How many votes, prompts and raters a study needs before it can show parity."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from scipy import optimize, stats

from evalcore.errors import InputError
from evalcore.stats.clustering import ClusterVariance, crossed_variance, t_quantile
from evalcore.stats.parity import check_test_settings
from evalcore.stats.trinomial import continuity_step

__all__ = [
    "Study",
    "VoteModel",
    "expected_variance",
    "parity_power",
    "prompts_needed",
    "reachable_margin",
    "votes_needed",
]

_MOST = 10**14


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteModel:
    """What votes are expected to look like."""

    win_rate: float = 0.5
    """True win rate, ties counting half."""
    tie_share: float = 0.0
    """Share of ties."""
    prompt_share: float = 0.17
    """Share of a vote's variance that votes on the same prompt have in common."""
    rater_share: float = 0.05
    """Share of a vote's variance that votes by the same rater have in common."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("tie_share", "prompt_share", "rater_share"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise InputError(f"{name} must be in [0, 1); got {getattr(self, name)}")
        if self.prompt_share + self.rater_share > 1.0:
            raise InputError(
                "prompt_share + rater_share must be at most 1; "
                f"got {self.prompt_share} + {self.rater_share}"
            )
        if not self.tie_share / 2.0 <= self.win_rate <= 1.0 - self.tie_share / 2.0:
            raise InputError(
                f"win_rate must be within tie_share/2 of [0, 1]; got {self.win_rate} "
                f"with tie_share {self.tie_share}"
            )

    @property
    def variance(self) -> float:
        """Variance of one vote's score: θ(1 − θ) − t/4."""
        return self.win_rate * (1.0 - self.win_rate) - self.tie_share / 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Sizes of a study in which votes spread evenly over prompts and raters."""

    n_votes: int
    n_prompts: int | None = None
    """None: each vote is on a prompt of its own."""
    n_raters: int | None = None
    """None: each vote is by a rater of its own."""


def expected_variance(study: Study, votes: VoteModel) -> ClusterVariance:
    """Variance of the win rate to expect, and its degrees of freedom.

    V = σ² (ρ_p/P + ρ_r/R + (1 − ρ_p − ρ_r)/N) for N votes on P prompts by R raters [1]_: as N grows
    it falls to σ² (ρ_p/P + ρ_r/R) and no further. Degrees of freedom as
    :func:`~evalcore.stats.clustering.crossed_variance`.

    References
    ----------
    .. [1] Brennan (2001), Generalizability Theory, section 2.2, the crossed p × r design with σ²
       split into prompt, rater and residual.
    """
    n = study.n_votes
    if n < 1:
        raise InputError(f"a study must have at least one vote; got {n}")
    by_prompt = _one_way(study.n_prompts, votes.prompt_share, n)
    by_rater = _one_way(study.n_raters, votes.rater_share, n)
    alone = ClusterVariance(variance=1.0 / n, n_effective=float(n), df=math.inf)
    unit = crossed_variance(by_prompt, by_rater, overlap=alone)
    return replace(unit, variance=votes.variance * unit.variance)


def parity_power(
    study: Study, votes: VoteModel, *, margin: float = 0.05, alpha: float = 0.05
) -> float:
    """Probability that a study shows parity.

    Both one-sided tests at level α have to reject; with d = |θ − ½|, standard error s and c the
    correction for continuity that :func:`~evalcore.stats.parity.parity_test` makes, that is
    P(T' > r t_α; (δ − d − c)/s) + P(T' > r t_α; (δ + d − c)/s) − 1 for noncentral T', or 0 if
    negative [1]_. r is the ratio of a vote's standard deviation at the margin, by which the test
    divides, to the true one. Being an average over the lattice of counts, it may miss the power at
    a single number of votes by a point or two.

    References
    ----------
    .. [1] Phillips (1990), Power of the two one-sided tests procedure in bioequivalence,
       J. Pharmacokinetics and Biopharmaceutics 18, 137-144; with the sum in place of the bivariate
       distribution.

    Examples
    --------
    >>> round(parity_power(Study(n_votes=872), VoteModel(), margin=0.05), 2)
    0.8
    """
    check_test_settings(margin, alpha)
    spread = expected_variance(study, votes)
    if spread.df <= 0.0:
        return 0.0
    if votes.variance <= 0.0:
        return 0.0
    error = math.sqrt(spread.variance)
    distance = abs(votes.win_rate - 0.5)
    reach = margin - continuity_step(votes.tie_share) / 2.0 * spread.variance / votes.variance
    at_margin = max(0.25 - margin**2 - votes.tie_share / 4.0, 0.0)
    threshold = t_quantile(1.0 - 2.0 * alpha, spread.df) * math.sqrt(at_margin / votes.variance)
    both = sum(
        _power(side / error, threshold, spread.df) for side in (reach - distance, reach + distance)
    )
    return max(0.0, both - 1.0)


def votes_needed(
    votes: VoteModel,
    *,
    margin: float = 0.05,
    power: float = 0.8,
    n_prompts: int | None = None,
    n_raters: int | None = None,
    alpha: float = 0.05,
) -> int | None:
    """Fewest votes that show parity with the power wanted.

    Without clusters and for a win rate of ½ that is about (z_{1−α} + z_{1−β/2})² (1 − t) / (4 δ²),
    where β is 1 − power and t the share of ties [1]_, and 1 to 2 % more for the test's correction
    for continuity (:func:`parity_power`).

    Returns
    -------
    int or None
        None if no number of votes is enough: on these prompts, by these raters, one vote each.

    References
    ----------
    .. [1] Julious (2004), Sample sizes for clinical trials with Normal data, Statistics in Medicine
       23, 1921-1986, section 5.

    Examples
    --------
    >>> votes_needed(VoteModel())
    872
    >>> votes_needed(VoteModel(tie_share=0.2))
    691
    >>> votes_needed(VoteModel(), n_prompts=80, n_raters=100) is None
    True
    """
    _check_power(power)
    most = n_prompts * n_raters if n_prompts and n_raters else _MOST

    def enough(n_votes: int) -> bool:
        study = Study(n_votes=n_votes, n_prompts=n_prompts, n_raters=n_raters)
        return parity_power(study, votes, margin=margin, alpha=alpha) >= power

    return _fewest(enough, most)


def prompts_needed(
    votes: VoteModel,
    *,
    margin: float = 0.05,
    power: float = 0.8,
    votes_per_prompt: int = 1,
    n_raters: int | None = None,
    alpha: float = 0.05,
) -> int | None:
    """Fewest prompts that show parity with the power wanted, at so many votes a prompt.

    Returns
    -------
    int or None
        None if no number of prompts is enough with these raters.
    """
    _check_power(power)

    def enough(n_prompts: int) -> bool:
        study = Study(n_votes=n_prompts * votes_per_prompt, n_prompts=n_prompts, n_raters=n_raters)
        return parity_power(study, votes, margin=margin, alpha=alpha) >= power

    return _fewest(enough, _MOST)


def reachable_margin(
    study: Study, votes: VoteModel, *, power: float = 0.8, alpha: float = 0.05
) -> float | None:
    """Smallest margin within which a study shows parity with the power wanted; None if none."""
    _check_power(power)

    def lacking(margin: float) -> float:
        return power - parity_power(study, votes, margin=margin, alpha=alpha)

    widest = 0.5 - 1e-9
    if lacking(widest) > 0.0:
        return None
    return float(optimize.brentq(lacking, 1e-9, widest, xtol=1e-9))


def _one_way(n_clusters: int | None, share: float, n_votes: int) -> ClusterVariance:
    """Variance by one grouping, in units of a vote's variance."""
    if n_clusters is not None and n_clusters < 1:
        raise InputError(f"prompts and raters must be at least 1; got {n_clusters}")
    if n_clusters is None or n_clusters >= n_votes:
        return ClusterVariance(variance=1.0 / n_votes, n_effective=float(n_votes), df=math.inf)
    variance = share / n_clusters + (1.0 - share) / n_votes
    return ClusterVariance(variance=variance, n_effective=float(n_clusters), df=n_clusters - 1.0)


def _power(noncentrality: float, threshold: float, df: float) -> float:
    if math.isinf(df) or df > 1e6:
        return float(stats.norm.cdf(noncentrality - threshold))
    return float(stats.nct.sf(threshold, df, noncentrality))


def _check_power(power: float) -> None:
    if not 0.0 < power < 1.0:
        raise InputError(f"power must lie between 0 and 1; got {power}")


def _fewest(enough: Callable[[int], bool], most: int) -> int | None:
    """Least count for which ``enough`` holds, given that it holds for all larger ones."""
    upper = 2
    while upper < most and not enough(upper):
        upper *= 2
    upper = min(upper, most)
    if not enough(upper):
        return None
    lower = 1
    while upper - lower > 1:
        middle = (lower + upper) // 2
        lower, upper = (lower, middle) if enough(middle) else (middle, upper)
    return upper
