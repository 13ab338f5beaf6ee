import numpy as np
import pytest

from evalcore.errors import InputError, VotesError
from evalcore.stats.fused_ratings import fuse_ratings
from evalcore.stats.newton import laplacian
from evalcore.stats.rating_options import RatingOptions
from evalcore.stats.rating_result import POINTS
from evalcore.votes import Categories, Votes

N_MODELS, N_HUMAN, N_JUDGED = 5, 600, 12_000


def judged_votes(seed: int, *, agreement: float, favour: float = 0.0, reach: float = 0.5):
    """Human votes on some answers, and on all of them a judge that flips a share of votes."""
    rng = np.random.default_rng(seed)
    strengths = np.linspace(-reach, reach, N_MODELS)
    n = N_HUMAN + N_JUDGED
    a = rng.integers(0, N_MODELS, n)
    b = (a + rng.integers(1, N_MODELS, n)) % N_MODELS
    human = np.where(rng.random(n) < 1 / (1 + np.exp(strengths[b] - strengths[a])), 0, 1)
    judge = np.where(rng.random(n) < agreement, human, 1 - human)
    favoured = rng.random(n) < favour
    judge = np.where(favoured & (a == 0), 0, np.where(favoured & (b == 0), 1, judge))
    example = np.arange(n)
    first = slice(0, N_HUMAN)
    votes = Votes(
        models=tuple(f"m{i}" for i in range(N_MODELS)),
        model_a=np.concatenate([a[first], b]),  # the judge sees the answers the other way round
        model_b=np.concatenate([b[first], a]),
        winner=np.concatenate([human[first], 1 - judge]).astype(np.uint8),
        example=Categories(
            codes=np.concatenate([example[first], example]).astype(np.int32),
            names=tuple(map(str, example)),
        ),
        rater_kind=Categories(
            codes=np.repeat([0, 1], [N_HUMAN, n]).astype(np.int32), names=("human", "judge")
        ),
    )
    return votes, 1000 + POINTS * strengths


@pytest.mark.parametrize("favour", [0.0, 0.3])
def test_fused_intervals_cover_whatever_the_judge_favours(favour):
    covered = []
    for seed in range(60):
        votes, truth = judged_votes(seed, agreement=0.8, favour=favour)
        low, high = fuse_ratings(votes).rating.confidence_interval()
        covered += ((low < truth) & (truth < high)).tolist()
    assert 0.92 < np.mean(covered) < 0.98


def test_judge_of_eighty_percent_agreement_saves_thirty_percent_of_votes():
    saved = [fuse_ratings(judged_votes(seed, agreement=0.8)[0]).votes_saved for seed in range(10)]
    assert np.mean(saved) > 0.3


@pytest.mark.parametrize("reach", [0.0, 0.5, 1.0])
def test_fusion_saves_what_verdicts_can_save_at_most(reach):
    """Given the pair, vote and verdict correlate by ρ² = (2·0.8 − 1)² p(1 − p) / q(1 − q)."""
    strengths = np.linspace(-reach, reach, N_MODELS)
    p = 1 / (1 + np.exp(strengths - strengths[:, None]))
    q = 0.6 * p + 0.2
    left = 1 - 0.36 * p * (1 - p) / (q * (1 - q)) / (1 + N_HUMAN / N_JUDGED)
    information, meat = laplacian(p * (1 - p)), laplacian(p * (1 - p) * left)
    inverse = np.linalg.pinv(information)
    most = 1 - np.trace(inverse @ meat @ inverse) / np.trace(inverse)
    fused = [fuse_ratings(judged_votes(s, agreement=0.8, reach=reach)[0]) for s in range(20)]
    assert np.mean([one.votes_saved for one in fused]) == pytest.approx(most, abs=0.015)


def test_judge_that_tosses_coins_saves_nothing_and_harms_nothing():
    fused = fuse_ratings(judged_votes(0, agreement=0.5)[0])
    assert abs(fused.votes_saved) < 0.03
    np.testing.assert_allclose(fused.rating.ratings, fused.human_only.ratings, atol=8)


def test_votes_without_verdict_are_counted_and_left_out():
    votes, _ = judged_votes(0, agreement=0.8)
    seen = (votes.rater_kind.codes == 0) | (votes.example.codes >= 50)
    fused = fuse_ratings(votes.take(seen))
    assert fused.n_unjudged == 50
    assert fused.rating.n_votes == N_HUMAN - 50


def test_votes_that_can_not_be_fused_are_errors():
    votes, _ = judged_votes(0, agreement=0.8)
    with pytest.raises(VotesError, match="fusion needs rater_kind and example_id"):
        fuse_ratings(Votes.from_columns({"model_a": ["x"], "model_b": ["y"], "winner": ["tie"]}))
    with pytest.raises(VotesError, match="verdicts on what humans voted on"):
        fuse_ratings(votes.take(votes.rater_kind.codes == 0))
    with pytest.raises(InputError, match="ties must be half"):
        fuse_ratings(votes, RatingOptions(ties="davidson"))


def test_fusion_does_not_leave_out_votes_by_their_outcome():
    with pytest.raises(InputError, match="both_bad must be tie"):
        fuse_ratings(judged_votes(0, agreement=0.8)[0], RatingOptions(both_bad="drop"))
