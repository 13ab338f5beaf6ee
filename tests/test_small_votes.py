"""Few and odd votes: whatever they are, no crash, no interval of zero width, nothing unsaid."""

from collections.abc import Callable
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalcore.errors import InputError
from evalcore.stats.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha, raw_agreement
from evalcore.stats.comparison import CompareRequest, compare_models
from evalcore.stats.fused_ratings import fuse_ratings
from evalcore.stats.fusion import JudgedVotes, fused_win_rate
from evalcore.stats.interval_agreement import interval_alpha
from evalcore.stats.labels import Labels, pair_labels
from evalcore.stats.quality import check_votes
from evalcore.stats.rating_result import BradleyTerryResult
from evalcore.stats.ratings import RatingOptions, rate_votes
from evalcore.stats.style import rate_at_equal_style
from evalcore.votes import Votes

OUTCOMES = ["model_a", "model_b", "tie", "both_bad"]
CLUSTERS = [None, (), ("rater",), ("example",), ("rater", "example")]


REFUSALS = [
    "ratings need at least one vote",
    "votes have no ",
    "style control needs more than",
    "style feature length is the same",
    "they do not converge",
    "fusion needs verdicts",
    "verdicts that rate every model",
]


@st.composite
def odd_votes(draw) -> Votes:
    """Draw at most 12 votes among 2 to 4 models, with outcomes of one kind, repeated or crossed."""
    names = "wxyz"[: draw(st.integers(2, 4))]
    kinds = draw(st.sampled_from([OUTCOMES, OUTCOMES[:2], OUTCOMES[2:], OUTCOMES[:1]]))
    vote = st.tuples(st.sampled_from([*permutations(names, 2)]), st.sampled_from(kinds))
    rows = [(*pair, outcome) for pair, outcome in draw(st.lists(vote, min_size=1, max_size=6))]
    turned = [(a, b, "model_b" if outcome == "model_a" else "model_a") for a, b, outcome in rows]
    rows += draw(st.sampled_from([[], rows, turned]))
    n = len(rows)

    def column(values: list) -> list:
        by_turns = [values[i // 2 % len(values)] for i in range(n)]
        return draw(st.lists(st.sampled_from(values), min_size=n, max_size=n) | st.just(by_turns))

    return Votes.from_columns(
        {
            **dict(zip(("model_a", "model_b", "winner"), zip(*rows, strict=True), strict=True)),
            "rater": column(["r1", "r2", "r3", ""][: draw(st.integers(1, 4))]),
            "example_id": column(["e1", "e2", "e3", ""][: draw(st.integers(1, 4))]),
            "rater_kind": column(["human", "judge"]),
            "swapped": column(["true", "false"]),
            "length_a": column([0.0, 1.0, 3.0]),
            "length_b": column([0.0, 2.0]),
        },
        features=["length"],
    )


def unless_refused(make: Callable[..., Any], *arguments: object, **named: object) -> Any:
    try:
        return make(*arguments, **named)
    except InputError as error:
        if any(reason in str(error) for reason in REFUSALS):
            return None
        raise


def has_no_false_certainty(result: BradleyTerryResult) -> None:
    low, high = result.confidence_interval()
    said = " ".join(result.warnings)
    for i, model in enumerate(result.models):
        if np.isnan(low[i]) or not np.isfinite(result.ratings[i]):
            assert model == result.anchor or model in said
        else:
            assert low[i] < result.ratings[i] - 1e-3 < result.ratings[i] + 1e-3 < high[i]
    for simultaneous in (False, True):
        best, worst = result.rank_interval(simultaneous=simultaneous)
        assert (best <= result.ranks).all()
        assert (result.ranks <= worst).all()
    for one, other in permutations(result.models, 2):
        ahead = result.difference(one, other)
        assert not ahead.high - ahead.low < 1e-3
        result.win_probability(one, other)


@settings(deadline=None, max_examples=25)
@given(odd_votes(), st.lists(st.sampled_from([0.0, 1.0, 0.37]), min_size=12, max_size=12))
def test_ratings_of_odd_votes_claim_nothing_they_cannot(votes, weights):
    for ties, both_bad, clusters in product(["half", "davidson"], ["tie", "drop"], CLUSTERS):
        anchor = votes.models[0] if clusters else None
        options = RatingOptions(ties=ties, both_bad=both_bad, clusters=clusters, anchor=anchor)
        for weight in (None, np.array(weights[: len(votes)])):
            rated = unless_refused(rate_votes, votes, options, weights=weight)
            if rated is not None:
                has_no_false_certainty(rated)


@settings(deadline=None, max_examples=40)
@given(odd_votes(), st.sampled_from(CLUSTERS), st.booleans())
def test_style_checks_and_fusion_of_odd_votes_claim_nothing_they_cannot(votes, clusters, anchored):
    options = RatingOptions(clusters=clusters, anchor=votes.models[0] if anchored else None)
    styled = unless_refused(rate_at_equal_style, votes, ["length"], options)
    fused = unless_refused(fuse_ratings, votes, options)
    ratings = [styled and styled.rating, fused and fused.rating, fused and fused.human_only]
    for rating in filter(None, ratings):
        has_no_false_certainty(rating)
    report = unless_refused(check_votes, votes, options)
    place = report and report.position
    assert place is None or place.low < place.value < place.high


@settings(deadline=None, max_examples=40)
@given(odd_votes(), st.sampled_from([0.01, 0.05, 0.49]))
def test_comparisons_of_odd_votes_have_a_width(votes, margin):
    for one, other in permutations(votes.models, 2):
        for method in ("score", "bayes", "anytime"):
            request = CompareRequest(margin=margin, method=method)
            report = compare_models(votes, (one, other), request)
            form = report.form
            assert report.lines()
            assert 0 <= form["low"] < form["high"] - 1e-6 <= 1
            assert 0 <= form["smallest_margin"] <= 0.5


@settings(deadline=None, max_examples=40)
@given(odd_votes())
def test_agreement_and_fusion_of_odd_votes_have_a_width(votes):
    labels = Labels.from_votes(votes)
    raters = np.unique(labels.raters).tolist()
    first, second, units = pair_labels(labels, raters)
    numbers = np.array([OUTCOMES.index(label) for label in labels.labels.tolist()])
    scaled = Labels(units=labels.units, raters=labels.raters, labels=numbers)
    found = [
        fleiss_kappa(labels, symmetric=True),
        krippendorff_alpha(labels),
        cohen_kappa(first, second, groups=units),
        raw_agreement(first, second, groups=units),
        interval_alpha(scaled),
        fused_win_rate(JudgedVotes.from_votes(votes, *votes.models[:2])).estimate,
    ]
    assert all(estimate.high - estimate.low > 1e-6 for estimate in found)


@pytest.mark.parametrize(
    "options",
    [
        ("--anchor", "x", "--cluster", "rater"),
        ("--method", "davidson"),
        ("--style", "length", "--check"),
        ("--simultaneous-ranks", "--check", "--both-bad", "drop"),
    ],
)
@pytest.mark.parametrize("outcomes", [["tie"] * 4, ["model_a", "model_b"] * 2, ["model_a", "tie"]])
def test_command_says_what_odd_votes_cannot_tell(parity, tmp_path, options, outcomes):
    path = tmp_path / "votes.csv"
    rows = [f"x,y,{winner},r{i // 2},{i},1" for i, winner in enumerate(outcomes)]
    path.write_text("\n".join(["model_a,model_b,winner,rater,length_a,length_b", *rows]))
    code, out, err = parity("rate", path, *options)
    assert code == 0 or len(err.splitlines()) == 1
    assert "nan" not in out + err
