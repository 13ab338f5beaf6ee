"""Two models compared, as JSON and in words: at the end of a study, or while it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from evalcore.errors import InputError
from evalcore.stats.parity import check_test_settings, parity_test, verdict_words
from evalcore.stats.sequential import SequenceMethod, StoppingRule, first_decision
from evalcore.stats.win_rate import PairVotes, win_rate, win_rate_posterior
from evalcore.votes import Votes

__all__ = ["CompareMethod", "CompareRequest", "PairReport", "compare_models"]

CompareMethod = Literal["score", "bayes", "anytime", "anytime-bernstein"]
"""Tests at a fixed number of votes, a posterior, or sequences that may be looked at any time."""

_SEQUENCES: Mapping[str, SequenceMethod] = {
    "anytime": "asymptotic",
    "anytime-bernstein": "empirical_bernstein",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest:
    """What ``parity compare`` was asked for."""

    margin: float = 0.05
    """Half-width of parity, in (0, 0.5)."""
    alpha: float = 0.05
    """Level of each test, in (0, 0.5); intervals have 1 − α."""
    method: CompareMethod = "score"

    @classmethod
    def checked(cls, *, margin: float, alpha: float, method: str) -> CompareRequest:
        """Check what came from the command line.

        Raises
        ------
        InputError
            For a value that is not permitted.
        """
        check_test_settings(margin, alpha)
        known: tuple[CompareMethod, ...] = get_args(CompareMethod)
        for choice in known:
            if method == choice:
                return cls(margin=margin, alpha=alpha, method=choice)
        raise InputError(f"method must be one of {', '.join(known)}; got {method!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairReport:
    """Two models compared."""

    form: Mapping[str, Any]
    """Shaped for JSON."""
    level: float
    """Of the interval."""
    further: tuple[str, ...] = ()
    """Lines for people alone."""

    def lines(self) -> list[str]:
        """Say it in lines of text."""
        form = self.form
        rate = f"{100 * form['win_rate']:.1f} % " if form["n"] else ""
        ends = f"({100 * self.level:g} %: {100 * form['low']:.1f} to {100 * form['high']:.1f})"
        return [
            f"{form['model_a']} against {form['model_b']}: {form['verdict']}",
            f"  votes      {form['n']}: {form['wins']} won, {form['ties']} tied, "
            f"{form['losses']} lost",
            f"  win rate   {rate}{ends}; {form['method']}",
            *self.further,
            f"  parity     shown from ±{form['smallest_margin']:.4f} on",
        ]


def compare_models(votes: Votes, models: tuple[str, str], request: CompareRequest) -> PairReport:
    """Compare two models as asked for.

    - ``score``: :func:`~evalcore.stats.win_rate.win_rate` and
      :func:`~evalcore.stats.parity.parity_test`.
    - ``bayes``: the same tests and verdict, with the interval of
      :func:`~evalcore.stats.win_rate.win_rate_posterior` and, under ``posterior``, the
      probabilities of being better and of parity.
    - ``anytime``, ``anytime-bernstein``: :func:`~evalcore.stats.sequential.first_decision` on the
      votes in the order of their times, or of the file where one has none. All is said of the votes
      up to the decision. p-values are None: those of a fixed number of votes don't hold.

    Raises
    ------
    VotesError
        For a model that the votes don't hold, or the same one twice.
    InputError
        For ``anytime-bernstein`` where raters or examples come up more than once.
    """
    if request.method in _SEQUENCES:
        form = _running_form(_in_time_order(votes), models, request)
        return PairReport(form=form, level=1.0 - request.alpha)
    result = win_rate(PairVotes.from_votes(votes, *models), level=1.0 - request.alpha)
    test = parity_test(result, margin=request.margin, alpha=request.alpha)
    estimate, posterior = result.estimate, {}
    further = [
        f"  difference p = {test.p_difference:.3g}",
        f"  not worse  p = {test.p_noninferior:.3g} by {test.margin:g} or more",
        f"  parity     p = {test.p_parity:.3g} within ±{test.margin:g}",
    ]
    if request.method == "bayes":
        belief = win_rate_posterior(
            result.effective, margin=request.margin, level=1.0 - request.alpha
        )
        estimate = belief.estimate
        better, parity = belief.p_better, belief.p_parity
        posterior = {"posterior": {"p_better": better, "p_parity": parity}}
        further.append(f"  posterior  {better:.3f} better, {parity:.3f} within ±{test.margin:g}")
    form = {
        "model_a": models[0],
        "model_b": models[1],
        "n": result.estimate.n,
        "wins": result.wins,
        "ties": result.ties,
        "losses": result.losses,
        "win_rate": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "p_difference": test.p_difference,
        "p_parity": test.p_parity,
        "margin": test.margin,
        "smallest_margin": test.smallest_margin,
        "method": estimate.method,
        "verdict": test.words,
    }
    return PairReport(form={**form, **posterior}, level=1.0 - request.alpha, further=tuple(further))


def _running_form(votes: Votes, models: tuple[str, str], request: CompareRequest) -> dict[str, Any]:
    pair = PairVotes.from_votes(votes, *models)
    worth = win_rate(pair).effective.n
    effect = len(pair.scores) / worth if worth else 1.0
    if request.method == "anytime-bernstein" and effect > 1.0:
        raise InputError(
            "anytime-bernstein needs independent votes; prompts or raters come up more than once "
            f"and {len(pair.scores)} votes are worth {worth:.1f}: use anytime"
        )
    rule = StoppingRule(
        margin=request.margin,
        level=1.0 - request.alpha,
        method=_SEQUENCES[request.method],
        design_effect=max(effect, 1.0),
    )
    decision = first_decision(pair.scores, rule)
    scores = pair.scores[: decision.n]
    wider = f", variance times {rule.design_effect:.2f}" if rule.design_effect > 1.0 else ""
    return {
        "model_a": models[0],
        "model_b": models[1],
        "n": decision.n,
        "wins": int(np.sum(scores == 1.0)),
        "ties": int(np.sum(scores == 0.5)),
        "losses": int(np.sum(scores == 0.0)),
        "win_rate": float(scores.mean()) if len(scores) else math.nan,
        "low": decision.low,
        "high": decision.high,
        "p_difference": None,
        "p_parity": None,
        "margin": request.margin,
        "smallest_margin": max(0.5 - decision.low, decision.high - 0.5),
        "method": f"{rule.method} confidence sequence, first {decision.n} of {len(pair.scores)} "
        f"votes{wider}".replace("_", " "),
        "verdict": verdict_words(decision.verdict, request.margin),
    }


def _in_time_order(votes: Votes) -> Votes:
    times = votes.created_s
    if times is None or np.isnan(times).any():
        return votes
    return votes.take(np.argsort(times, kind="stable"))
