"""Which raters look careless or dishonest: speed, straight lines, gold items, agreement, doubles.

A flag removes nothing. It says what was seen and what is expected, so that a person can decide, and
so that a result can be shown with and without those raters.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, combinations_with_replacement
from typing import Literal

import numpy as np
from scipy import stats

from evalcore.records import Estimate
from evalcore.stats.agreement import agreement_with_rest
from evalcore.stats.labels import Labels

__all__ = ["CastVote", "Check", "Flag", "QualityRules", "RaterQuality", "check_raters", "labels_of"]

Check = Literal["speed", "one choice", "one side", "gold", "agreement", "double", "share"]
Unit = tuple[str, ...]

_LEAST_VOTES = 10
_LEAST_GOLD = 3
_LEAST_OTHERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRules:
    """From when on a rater is flagged."""

    least_gold_share: float = 0.7
    """Known items that a rater has to get right, of at least three."""
    least_visible_s: float = 3.0
    """Votes cast sooner after the answers were there, or after the vote before, are fast."""
    most_fast_share: float = 0.3
    most_same_share: float = 0.95
    """Share of one and the same choice, of at least ten votes."""
    most_of_all: float = 0.1
    """Share of all votes that one rater may cast, or twice an equal part if that is more."""
    alpha: float = 0.01
    """Probability that a statistical check flags any honest rater."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CastVote:
    """What the checks know of a vote."""

    rater: str
    choice: str
    """What was clicked, by position, such as ``left``, ``tie`` or ``2-1-3``."""
    position: int | None = None
    """Where the preferred answer stood, from 0; None for a tie and for scales."""
    n_positions: int = 2
    opinions: Mapping[Unit, str] = field(default_factory=dict)
    """What it says of what, wherever the answers stood: label by unit."""
    shown_s: float | None = None
    """How long the answers were there, the least that browser or server say."""
    created_s: float = 0.0
    """Seconds since 1970."""
    is_right: bool | None = None
    """Of a known item; its opinions count for no agreement."""
    address: str | None = None
    """Keyed hash of where it came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A reason to look at a rater."""

    check: Check
    words: str
    """What was seen and what is expected."""
    other: str = ""
    """The other rater of a double."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterQuality:
    """What the checks say of one rater."""

    rater: str
    n_votes: int
    share: float
    """Of all votes."""
    median_shown_s: float
    """nan where no time is known."""
    n_fast: int
    commonest_choice: str
    commonest_share: float
    n_gold: int
    """Known items rated: gold, attention checks; not training."""
    n_gold_right: int
    agreement: Estimate | None
    """Share of the other raters' labels that are the same; None without shared units."""
    n_same_address: int
    """Other raters who voted from one of the rater's addresses."""
    flags: tuple[Flag, ...]


def check_raters(
    votes: Sequence[CastVote], rules: QualityRules | None = None
) -> list[RaterQuality]:
    """Look at every rater.

    - *speed*: more than ``most_fast_share`` of the votes are fast ones.
    - *one choice*: nearly all votes are the same click.
    - *one side*: preferred answers stand on one place more often than by chance; the places are
      drawn, so that for any honest taste each has the same probability (binomial test).
    - *gold*: too few known items are right.
    - *agreement*: on the rater's units fewer others agree with the rater than with each other
      (one-sided t-test of the differences over units).
    - *double*: two raters say the same where others say something else, more often than by chance
      (Angoff's idea of equal wrong answers [1]_: that two careful raters agree on what everybody
      sees proves nothing; binomial test with the units' mean, which is no less dispersed than
      units that differ [2]_).
    - *share*: one rater cast a large part of all votes.

    The tests are corrected for the number of raters, or of pairs, looked at (Bonferroni).

    Parameters
    ----------
    votes
        In any order; none gives an empty list.
    rules
        Thresholds; the defaults if not given.

    Returns
    -------
    list of RaterQuality
        Flagged raters first, by number of flags, then by name.

    References
    ----------
    .. [1] Angoff (1974), The development of statistical indices for detecting cheaters, JASA 69,
       44-49.
    .. [2] Hoeffding (1956), On the distribution of the number of successes in independent trials,
       Annals of Mathematical Statistics 27, 713-721.
    """
    rules = rules or QualityRules()
    by_rater: dict[str, list[CastVote]] = defaultdict(list)
    for vote in votes:
        by_rater[vote.rater].append(vote)
    labels = labels_of(votes)
    flags: dict[str, list[Flag]] = defaultdict(list)
    for rater, own in by_rater.items():
        flags[rater] += _own_flags(own, rules, n_raters=len(by_rater), n_votes=len(votes))
    for rater, flag in (*_disagreeing(labels, rules), *_doubles(labels, rules)):
        flags[rater].append(flag)
    agreement = agreement_with_rest(labels) if len(labels.units) else {}
    neighbours = _neighbours(votes)
    found = [
        _quality(
            rater,
            own,
            rules,
            n_votes=len(votes),
            agreement=agreement.get(rater),
            n_same_address=len(neighbours.get(rater, ())),
            flags=tuple(flags[rater]),
        )
        for rater, own in by_rater.items()
    ]
    return sorted(found, key=lambda quality: (-len(quality.flags), quality.rater))


def labels_of(votes: Iterable[CastVote]) -> Labels:
    """Put the opinions of votes on items that are not known into columns; first opinion counts."""
    first: dict[tuple[str, Unit], str] = {}
    for vote in votes:
        if vote.is_right is None:
            for unit, label in vote.opinions.items():
                first.setdefault((vote.rater, unit), label)
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys(u for _, u in first))}
    return Labels(
        units=np.array([numbers[unit] for _, unit in first], dtype=np.int64),
        raters=np.array([rater for rater, _ in first], dtype=str),
        labels=np.array(list(first.values()), dtype=str),
    )


def _quality(
    rater: str,
    own: Sequence[CastVote],
    rules: QualityRules,
    *,
    n_votes: int,
    agreement: Estimate | None,
    n_same_address: int,
    flags: tuple[Flag, ...],
) -> RaterQuality:
    times = [vote.shown_s for vote in own if vote.shown_s is not None]
    choice, n_same = Counter(vote.choice for vote in own).most_common(1)[0]
    known = [vote.is_right for vote in own if vote.is_right is not None]
    return RaterQuality(
        rater=rater,
        n_votes=len(own),
        share=len(own) / n_votes,
        median_shown_s=float(np.median(times)) if times else float("nan"),
        n_fast=_n_fast(own, rules.least_visible_s),
        commonest_choice=choice,
        commonest_share=n_same / len(own),
        n_gold=len(known),
        n_gold_right=sum(known),
        agreement=agreement,
        n_same_address=n_same_address,
        flags=flags,
    )


def _own_flags(
    own: Sequence[CastVote], rules: QualityRules, *, n_raters: int, n_votes: int
) -> Iterator[Flag]:
    """Yield the flags that need no look at other raters."""
    n = len(own)
    n_fast = _n_fast(own, rules.least_visible_s)
    if n >= _LEAST_VOTES and n_fast > rules.most_fast_share * n:
        yield Flag(check="speed", words=f"{n_fast} of {n} votes within {rules.least_visible_s:g} s")
    choice, n_same = Counter(vote.choice for vote in own).most_common(1)[0]
    if n >= _LEAST_VOTES and n_same >= rules.most_same_share * n:
        yield Flag(check="one choice", words=f"{n_same} of {n} votes are {choice!r}")
    yield from _one_side(own, rules.alpha / n_raters)
    known = [vote.is_right for vote in own if vote.is_right is not None]
    if len(known) >= _LEAST_GOLD and sum(known) < rules.least_gold_share * len(known):
        words = (
            f"{sum(known)} of {len(known)} known items right; {rules.least_gold_share:.0%} asked"
        )
        yield Flag(check="gold", words=words)
    most = max(rules.most_of_all, 2.0 / n_raters)
    if n > most * n_votes:
        yield Flag(check="share", words=f"{n / n_votes:.0%} of all votes; {most:.0%} permitted")


def _n_fast(own: Sequence[CastVote], least_s: float) -> int:
    in_time = sorted(own, key=lambda vote: vote.created_s)
    before = [-np.inf, *(vote.created_s for vote in in_time[:-1])]
    return sum(
        (vote.shown_s is not None and vote.shown_s < least_s) or vote.created_s - last < least_s
        for vote, last in zip(in_time, before, strict=True)
    )


def _one_side(own: Sequence[CastVote], alpha: float) -> Iterator[Flag]:
    sided = [vote for vote in own if vote.position is not None]
    if len(sided) < _LEAST_VOTES:
        return
    n_places = max(vote.n_positions for vote in sided)
    place, n_there = Counter(vote.position for vote in sided).most_common(1)[0]
    p_value = n_places * float(stats.binom.sf(n_there - 1, len(sided), 1.0 / n_places))
    if p_value < alpha:
        words = f"{n_there} of {len(sided)} preferred answers stood on place {(place or 0) + 1}"
        yield Flag(check="one side", words=f"{words} (p = {p_value:.1g})")


def _disagreeing(labels: Labels, rules: QualityRules) -> Iterator[tuple[str, Flag]]:
    """Compare agreement with the rater to agreement among the others, unit by unit."""
    differences: dict[str, list[float]] = defaultdict(list)
    for raters, given in _by_unit(labels):
        if len(given) < 3:
            continue
        counts = Counter(given)
        n_pairs = sum(count * (count - 1) for count in counts.values())
        n = len(given)
        for rater, label in zip(raters, given, strict=True):
            same = counts[label] - 1
            among_others = (n_pairs - 2 * same) / ((n - 1) * (n - 2))
            differences[rater].append(same / (n - 1) - among_others)
    looked_at = {rater: d for rater, d in differences.items() if len(d) >= _LEAST_VOTES}
    for rater, values in looked_at.items():
        mean, error = float(np.mean(values)), float(stats.sem(values))
        p_value = float(stats.t.cdf(mean / error, len(values) - 1)) if error > 0.0 else 1.0
        if p_value * len(looked_at) < rules.alpha:
            words = f"agreement {-mean:.0%} below that among the others (p = {p_value:.1g})"
            yield rater, Flag(check="agreement", words=words)


def _doubles(labels: Labels, rules: QualityRules) -> Iterator[tuple[str, Flag]]:
    """Look at the units on which either rater of a pair says what the others mostly don't say."""
    met: Counter[tuple[str, str]] = Counter()
    same: Counter[tuple[str, str]] = Counter()
    expected: dict[tuple[str, str], float] = defaultdict(float)
    for raters, given in _by_unit(labels):
        counts = Counter(given)
        chance = {
            pair: _same_by_chance(counts, *pair)
            for pair in combinations_with_replacement(counts, 2)
            if counts[pair[0]] > (pair[0] == pair[1])
        }
        for (one, first), (other, second) in combinations(zip(raters, given, strict=True), 2):
            by_chance = chance.get((first, second), chance.get((second, first)))
            if by_chance is not None:
                pair = (one, other) if one < other else (other, one)
                met[pair] += 1
                same[pair] += first == second
                expected[pair] += by_chance
    looked_at = [pair for pair, n in met.items() if n >= _LEAST_VOTES]
    for pair in looked_at:
        n = met[pair]
        p_value = float(stats.binom.sf(same[pair] - 1, n, expected[pair] / n))
        if p_value * len(looked_at) < rules.alpha:
            for rater, other in (pair, pair[::-1]):
                words = f"{same[pair]} of {n} labels that others don't share are the same"
                flag = Flag(check="double", words=f"{words} (p = {p_value:.1g})", other=other)
                yield rater, flag


def _same_by_chance(counts: Counter[str], first: str, second: str) -> float | None:
    """Probability that two labels are the same, given that not both are the others' commonest.

    Σ p_l² over the labels that are not commonest among the others, divided by 1 − p_c², where p are
    the others' shares with one label of each kind added and c the commonest. None if both are.
    """
    others = counts - Counter([first, second])
    if others.total() < _LEAST_OTHERS:
        return None
    commonest = max(others, key=lambda label: (others[label], label))
    if first == second == commonest:
        return None
    total = others.total() + len(counts)
    shares = {label: (others[label] + 1) / total for label in counts}
    rare = sum(share**2 for label, share in shares.items() if label != commonest)
    return rare / (1.0 - shares[commonest] ** 2)


def _by_unit(labels: Labels) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the raters and labels of each unit."""
    units: dict[int, tuple[list[str], list[str]]] = {}
    columns = (labels.units.tolist(), labels.raters.tolist(), labels.labels.tolist())
    for unit, rater, label in zip(*columns, strict=True):
        raters, given = units.setdefault(unit, ([], []))
        raters.append(rater)
        given.append(label)
    yield from units.values()


def _neighbours(votes: Iterable[CastVote]) -> dict[str, set[str]]:
    by_address: dict[str, set[str]] = defaultdict(set)
    for vote in votes:
        if vote.address is not None:
            by_address[vote.address].add(vote.rater)
    found: dict[str, set[str]] = defaultdict(set)
    for raters in by_address.values():
        for rater in raters:
            found[rater] |= raters - {rater}
    return found
