"""Ratings by people, judges and rules, side by side: one source for each kind of rater."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evalcore.judges.flagged import flagged_among
from evalcore.records import Estimate, RaterKind
from evalcore.stats.paired import PairedDifference
from evalcore.stats.rating_options import RatingOptions
from evalcore.stats.rating_result import BradleyTerryResult
from evalcore.stats.ratings import rate_votes
from evalcore.store import Store
from evalcore.votes.columns import Categories, Votes
from leaderboards.pairs import Pairs
from leaderboards.records import Source, SourceRow
from leaderboards.request import BoardRequest
from leaderboards.roster import Roster
from leaderboards.versus import versus_votes

__all__ = ["by_kind", "make_source", "on_board"]

_TITLES: Mapping[RaterKind, str] = {
    "human": "human votes",
    "judge": "judges' verdicts",
    "rule": "rules' verdicts",
    "simulated": "SIMULATED votes",
}


def on_board(votes: Votes, roster: Roster, models: Collection[str]) -> Votes:
    """Keep the votes between some models, under their fingerprints.

    What votes call by its name and by its fingerprint is one model.
    """
    called = [roster.voted[name] for name in votes.models]
    names = tuple(sorted(frozenset(called) & frozenset(models)))
    place = {fingerprint: code for code, fingerprint in enumerate(names)}
    codes = np.array([place.get(fingerprint, -1) for fingerprint in called], dtype=np.int64)
    first, second = codes[votes.model_a], codes[votes.model_b]
    rows = (first >= 0) & (second >= 0) & (first != second)
    kept = votes if rows.all() else votes.take(rows)
    dtype = np.min_scalar_type(max(len(names) - 1, 0))
    return Votes(
        models=names,
        model_a=first[rows].astype(dtype),
        model_b=second[rows].astype(dtype),
        winner=kept.winner,
        rater=kept.rater,
        example=kept.example,
        rater_kind=kept.rater_kind,
        created_s=kept.created_s,
        swapped=kept.swapped,
        source=kept.source,
    )


def by_kind(
    votes: Votes, store: Store, request: BoardRequest
) -> tuple[dict[RaterKind, Votes], list[str]]:
    """Take votes apart by who cast them, as the request wants them, and say what is left out."""
    rows = np.ones(len(votes), dtype=bool)
    examples, warnings = votes.example, []
    if request.category is not None and examples is not None:
        labels = store.example_categories(examples.names)
        fits = np.array([labels.get(name) == request.category for name in examples.names], bool)
        rows &= fits[examples.codes]
    kinds = {kind: rows & _of_kind(votes, kind) for kind in request.kinds}
    if not request.under_way and examples is not None and "human" in kinds:
        hidden = _is_in(store.hidden_examples(), examples)
        n_hidden = int(np.sum(kinds["human"] & hidden))
        kinds["human"] = kinds["human"] & ~hidden
        if n_hidden:
            warnings.append(
                f"{n_hidden} votes of studies that are under way are left out (--under-way)"
            )
    kinds = {kind: chosen for kind, chosen in kinds.items() if chosen.any()}
    if request.common and examples is not None and len(kinds) > 1:
        shared = np.ones(len(examples.names), dtype=bool)
        for chosen in kinds.values():
            shared &= np.bincount(examples.codes[chosen], minlength=len(examples.names)) > 0
        kinds = {kind: chosen & shared[examples.codes] for kind, chosen in kinds.items()}
        warnings.append(f"only the {int(shared.sum())} examples that all kinds of raters compared")
    found = {kind: votes.take(chosen) for kind, chosen in kinds.items() if chosen.any()}
    if "judge" in found:
        found["judge"], said = _without_flagged(found["judge"], store)
        warnings += said
    return {kind: some for kind, some in found.items() if len(some)}, warnings


def make_source(
    kind: RaterKind, votes: Votes, names: Mapping[str, str], *, request: BoardRequest
) -> Source:
    """Rate the models that one kind of rater compared.

    Parameters
    ----------
    kind
        Of the raters.
    votes
        At least one; models go by fingerprint.
    names
        Of the models, by fingerprint, for warnings.
    request
        Level, reference and margin; the reference is a fingerprint here.
    """
    result = rate_votes(votes, RatingOptions())
    return Source(
        kind=kind,
        title=_TITLES[kind],
        rows=_rows(votes, result, request),
        raters=_raters(votes) if kind in ("judge", "rule") else (),
        n_comparisons=len(votes),
        n_raters=_n_used(votes.rater),
        n_examples=_n_used(votes.example),
        method=result.method,
        scale=result.scale,
        warnings=tuple(_named(warning, names) for warning in result.warnings),
        pairs=_pairs(votes, result, level=request.level),
        votes=votes,
    )


def _rows(votes: Votes, result: BradleyTerryResult, request: BoardRequest) -> dict[str, SourceRow]:
    low, high = result.confidence_interval(request.level)
    rank_low, rank_high = result.rank_interval(request.level)
    versus = versus_votes(votes, request)
    return {
        model: SourceRow(
            rating=Estimate(
                value=float(result.ratings[i]),
                low=float(low[i]),
                high=float(high[i]),
                confidence_level=request.level,
                method=result.method,
                n=int(result.n_comparisons[i]),
            ),
            rank=int(result.ranks[i]) or None,
            rank_low=int(rank_low[i]) or None,
            rank_high=int(rank_high[i]) or None,
            n_comparisons=int(result.n_comparisons[i]),
            versus=versus.get(model),
        )
        for i, model in enumerate(result.models)
        if result.n_comparisons[i]
    }


def _pairs(votes: Votes, result: BradleyTerryResult, *, level: float) -> Pairs:
    """Compare every two rated models by the difference of their ratings."""
    rated = np.flatnonzero(~np.isnan(result.ratings))
    names = [result.models[i] for i in rated]

    def compare(model_a: str, model_b: str) -> PairedDifference:
        difference = result.difference(model_a, model_b, level=level)
        a, b = names.index(model_a), names.index(model_b)
        first, second = (votes.models.index(name) for name in (model_a, model_b))
        straight = (votes.model_a == first) & (votes.model_b == second)
        turned = (votes.model_a == second) & (votes.model_b == first)
        score = np.array([1, -1, 0, 0])[votes.winner]
        signs = np.concatenate([score[straight], -score[turned]])
        return PairedDifference(
            difference=difference,
            p_value=float(p_values[a, b]),
            test="Wald, difference of ratings",
            n_pairs=len(signs),
            wins=int(np.sum(signs > 0)),
            ties=int(np.sum(signs == 0)),
            losses=int(np.sum(signs < 0)),
        )

    p_values = _wald(result, rated)
    return Pairs(names, lambda: p_values, level=level, compare=compare)


def _wald(result: BradleyTerryResult, rated: NDArray[np.intp]) -> NDArray[np.float64]:
    """P-values of no difference; 1 where the votes tell of none, as of infinite ratings."""
    ratings, covariance = result.ratings[rated], result.covariance[np.ix_(rated, rated)]
    variance = np.diagonal(covariance)
    df = np.minimum(result.df[rated], result.df[rated][:, None])
    with np.errstate(invalid="ignore"):
        error = np.sqrt(variance + variance[:, None] - 2 * covariance)
        distance = np.abs(ratings - ratings[:, None])
        known = (error > 0) & (df > 0) & np.isfinite(distance)
        t = distance / np.where(known, error, 1.0)
    p_values = 2 * stats.t.sf(np.where(known, t, 0.0), np.where(known, df, 1.0))
    return np.asarray(np.where(known, p_values, 1.0))


def _without_flagged(votes: Votes, store: Store) -> tuple[Votes, list[str]]:
    flagged = flagged_among(store, votes)
    if not flagged:
        return votes, []
    names = store.models()
    codes = [votes.models.index(fingerprint) for fingerprint in flagged]
    out = np.isin(votes.model_a, codes) | np.isin(votes.model_b, codes)
    said = [
        f"{names[fingerprint].name} is flagged, and judges' verdicts on it do not count: {words}"
        for fingerprint, words in flagged.items()
    ]
    return votes.take(~out), said


def _of_kind(votes: Votes, kind: str) -> NDArray[np.bool_]:
    kinds = votes.rater_kind
    if kinds is None or kind not in kinds.names:
        return np.zeros(len(votes), dtype=bool)
    return np.asarray(kinds.codes == kinds.names.index(kind))


def _is_in(names: Collection[str], column: Categories) -> NDArray[np.bool_]:
    is_among = np.array([name in names for name in column.names], bool)
    return np.asarray((column.codes >= 0) & is_among[column.codes])


def _raters(votes: Votes) -> tuple[str, ...]:
    if votes.rater is None:
        return ()
    return tuple(votes.rater.names[code] for code in np.unique(votes.rater.codes) if code >= 0)


def _n_used(column: Categories | None) -> int:
    if column is None:
        return 0
    return int(np.sum(np.bincount(column.codes[column.codes >= 0]) > 0))


def _named(warning: str, names: Mapping[str, str]) -> str:
    """Put models' names in place of fingerprints."""
    for fingerprint, name in names.items():
        warning = warning.replace(fingerprint, name)
    return warning
