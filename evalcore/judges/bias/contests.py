"""Two models as the judge sees them, at equal length, and as people would see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from evalcore.judges.bias.calibration import Calibration, calibrated
from evalcore.judges.bias.pairs import JudgedPairs
from evalcore.records import Estimate
from evalcore.stats.fusion import FusedWinRate, JudgedVotes, fused_win_rate
from evalcore.stats.intervals import mean_estimate
from evalcore.stats.length_control import LengthData, length_controlled_win_rate
from evalcore.votes import Votes

__all__ = ["JudgedContest", "judged_contests"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedContest:
    """How often the first of two models wins."""

    model: str
    opponent: str
    judge: Estimate
    """By the judge, a tie counting half."""
    shown_first: Estimate | None
    """By the judge where the model was shown first; None where it never was."""
    shown_second: Estimate | None
    at_equal_length: Estimate | None
    """By the judge if both models' answers were equally long; None where lengths are not known."""
    calibrated: Estimate | None
    """By the judge, shrunk to what its scores are worth in people's votes; None without votes."""
    people: Estimate | None
    """By people's votes on these two models alone; None without any."""
    fused: Estimate | None
    """By people's votes with the judge's help: unbiased whatever the judge does."""
    votes_saved: float
    """Share of people's votes that the judge saved; 0 without a fused estimate."""


def judged_contests(
    pairs: JudgedPairs,
    votes: Votes | None,
    calibration: Calibration | None,
    *,
    level: float = 0.95,
) -> Iterator[JudgedContest]:
    """Sum up each pair of models that the judge compared.

    Parameters
    ----------
    pairs
        The judge's verdicts.
    votes
        The judge's comparisons and people's votes, to be fused; None without votes of people.
    calibration
        What the judge's scores are worth; None without people's votes.
    level
        Confidence level.

    Yields
    ------
    JudgedContest
        A baseline, that is a model in every one of several pairs, is the opponent; otherwise the
        models are in the order of their names.
    """
    scored = pairs.take(pairs.scored)
    baseline = _baseline(scored)
    for code in range(int(scored.pair.max(initial=-1)) + 1):
        rows = scored.take(scored.pair == code)
        is_turned = int(rows.a[0]) == baseline
        names = scored.models[rows.a[0]], scored.models[rows.b[0]]
        model, opponent = names[::-1] if is_turned else names
        contest = _units(rows, is_turned=is_turned)
        judge = mean_estimate(
            contest.preferences, groups=contest.examples, level=level, bounds=(0.0, 1.0)
        )
        fused = None if votes is None else _fused(votes, model, opponent, level=level)
        yield JudgedContest(
            model=model,
            opponent=opponent,
            judge=judge,
            shown_first=_in_place(rows, 1, is_turned=is_turned, level=level),
            shown_second=_in_place(rows, -1, is_turned=is_turned, level=level),
            at_equal_length=_at_equal_length(contest, level=level),
            calibrated=None if calibration is None else calibrated(judge, calibration.slope),
            people=None if fused is None else fused.human_only,
            fused=None if fused is None else fused.estimate,
            votes_saved=0.0 if fused is None else fused.votes_saved,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Units:
    """Pairs of answers, each once, from the first model's view."""

    preferences: np.ndarray[tuple[int], np.dtype[np.float64]]
    examples: np.ndarray[tuple[int], np.dtype[np.intp]]
    lengths: np.ndarray[tuple[int, int], np.dtype[np.float64]] | None


def _units(rows: JudgedPairs, *, is_turned: bool) -> _Units:
    """Take the mean of the verdicts on the same answers."""
    _, first, unit = np.unique(rows.unit, return_index=True, return_inverse=True)
    mean = np.bincount(unit, rows.score) / np.bincount(unit)
    lengths = rows.features.get("length")
    if lengths is not None:
        lengths = lengths[first][:, ::-1] if is_turned else lengths[first]
    return _Units(
        preferences=1.0 - mean if is_turned else mean,
        examples=rows.example[first],
        lengths=lengths,
    )


def _in_place(rows: JudgedPairs, place: int, *, is_turned: bool, level: float) -> Estimate | None:
    """Estimate the win rate of the first model in one order."""
    some = rows.take(rows.place == (-place if is_turned else place))
    if not len(some):
        return None
    score = 1.0 - some.score if is_turned else some.score
    return mean_estimate(score, groups=some.example, level=level, bounds=(0.0, 1.0))


def _baseline(pairs: JudgedPairs) -> int:
    """Return the model that is in every one of several pairs; -1 for none."""
    meetings = np.unique(np.column_stack([pairs.a, pairs.b]), axis=0)
    counts = np.bincount(meetings.reshape(-1), minlength=1)
    return int(counts.argmax()) if len(meetings) > 1 and counts.max() == len(meetings) else -1


def _at_equal_length(contest: _Units, *, level: float) -> Estimate | None:
    if contest.lengths is None:
        return None
    known = ~np.isnan(contest.lengths).any(axis=1)
    if not known.any():
        return None
    data = LengthData.from_lengths(contest.preferences[known], *contest.lengths[known].T)
    return length_controlled_win_rate(data, level=level).estimate


def _fused(votes: Votes, model: str, opponent: str, *, level: float) -> FusedWinRate | None:
    if model not in votes.models or opponent not in votes.models:
        return None
    data = JudgedVotes.from_votes(votes, model, opponent)
    return fused_win_rate(data, level=level) if len(data.human) else None
