import numpy as np
import pytest

from evalcore.errors import InputError
from evalcore.stats.rating_options import RatingOptions
from evalcore.stats.rating_result import POINTS
from evalcore.stats.ratings import rate_votes
from evalcore.stats.style import rate_at_equal_style
from evalcore.stats.style_features import feature_differences, style_features
from evalcore.votes import Categories, Votes

TRUTH = {"length": 0.5, "bold": 0.2}


def styled_votes(n: int, n_models: int, rng: np.random.Generator) -> tuple[Votes, np.ndarray]:
    """Better models write longer answers, and longer answers win more votes."""
    strengths = np.linspace(-0.5, 0.5, n_models)
    a = rng.integers(0, n_models, n)
    b = (a + rng.integers(1, n_models, n)) % n_models
    spread = rng.gamma(2.0, 100.0, (len(TRUTH), n, 2))
    spread[0] *= np.exp(np.column_stack([strengths[a], strengths[b]]))
    features = dict(zip(TRUTH, spread, strict=True))
    logit = strengths[a] - strengths[b]
    logit += np.array([*TRUTH.values()]) @ feature_differences(features, [*TRUTH])
    winner = np.where(rng.random(n) < 1 / (1 + np.exp(-logit)), 0, 1).astype(np.uint8)
    names = tuple(f"m{i}" for i in range(n_models))
    return Votes(models=names, model_a=a, model_b=b, winner=winner, features=features), strengths


def test_features_of_markdown_are_counted_outside_code():
    text = "# Title\n\n1. **one**\n2. two __three__\n```py\n# no heading\n- no item\n```\n- last"
    counted = style_features(text)
    assert counted == {"length": len(text), "headings": 1, "lists": 3, "bold": 2, "code": 1}


def test_features_of_nothing_are_zero():
    assert set(style_features("").values()) == {0}


def test_coefficients_and_ratings_come_out_unshrunk():
    votes, strengths = styled_votes(200_000, 5, np.random.default_rng(0))
    result = rate_at_equal_style(votes, [*TRUTH])
    for name, truth in TRUTH.items():
        found = result.coefficient(name)
        assert found.low < truth < found.high
        assert found.high - found.low < 0.05
    np.testing.assert_allclose(result.rating.ratings, 1000 + POINTS * strengths, atol=5)


def test_ratings_without_style_control_are_further_apart():
    votes, _ = styled_votes(20_000, 5, np.random.default_rng(0))
    held_equal = rate_at_equal_style(votes, ["length"]).rating.ratings
    assert np.ptp(rate_votes(votes).ratings) > np.ptp(held_equal) + 20


@pytest.mark.parametrize("clustered", [False, True])
def test_style_intervals_cover(clustered):
    covered = []
    for seed in range(60):
        votes, strengths = styled_votes(1500, 5, np.random.default_rng(seed))
        if clustered:
            raters = Categories(
                codes=(np.arange(1500) % 50).astype(np.int32),
                names=tuple(f"{i:02}" for i in range(50)),
            )
            votes = Votes(**{f: getattr(votes, f) for f in votes.__slots__} | {"rater": raters})
        result = rate_at_equal_style(votes, [*TRUTH])
        low, high = result.rating.confidence_interval()
        covered += (abs(POINTS * strengths + 1000 - (low + high) / 2) < (high - low) / 2).tolist()
        estimates = [(result.coefficient(name), truth) for name, truth in TRUTH.items()]
        covered += [found.low < truth < found.high for found, truth in estimates]
    assert 0.92 < np.mean(covered) < 0.98


def test_swapping_a_and_b_makes_no_difference():
    votes, _ = styled_votes(500, 4, np.random.default_rng(1))
    swapped = Votes(
        models=votes.models,
        model_a=votes.model_b,
        model_b=votes.model_a,
        winner=1 - votes.winner,
        features={name: values[:, ::-1] for name, values in votes.features.items()},
    )
    one, other = (rate_at_equal_style(v, [*TRUTH]) for v in (votes, swapped))
    np.testing.assert_allclose(one.rating.ratings, other.rating.ratings, atol=1e-6)
    np.testing.assert_allclose(one.coefficients, other.coefficients, atol=1e-8)


def test_model_with_only_wins_stays_infinite_at_equal_style():
    votes, _ = styled_votes(500, 4, np.random.default_rng(1))
    wins = (votes.model_a == 3) | (votes.model_b == 3)
    winner = np.where(wins, np.where(votes.model_a == 3, 0, 1), votes.winner).astype(np.uint8)
    votes = Votes(**{f: getattr(votes, f) for f in votes.__slots__} | {"winner": winner})
    result = rate_at_equal_style(votes, [*TRUTH]).rating
    assert result.ratings[3] == np.inf
    assert np.isfinite(result.ratings[:3]).all()


def test_unusable_features_are_errors():
    votes, _ = styled_votes(200, 3, np.random.default_rng(1))
    same = {"same": np.ones((200, 2)), "length": votes.features["length"]}
    votes = Votes(**{f: getattr(votes, f) for f in votes.__slots__} | {"features": same})
    with pytest.raises(InputError, match="same is the same in every pair"):
        rate_at_equal_style(votes, ["same"])
    with pytest.raises(InputError, match="must be one of same, length; got colour"):
        rate_at_equal_style(votes, ["colour"])
    with pytest.raises(InputError, match="must not explain each other"):
        rate_at_equal_style(votes, ["length", "length"])
    with pytest.raises(InputError, match="ties must be half"):
        rate_at_equal_style(votes, ["length"], RatingOptions(ties="davidson"))


def test_feature_that_goes_with_the_models_is_an_error():
    """One model always writes twice as much: nothing tells its strength from its length."""
    columns = {"model_a": ["x", "y"] * 50, "model_b": ["y", "x"] * 50}
    votes = Votes.from_columns({**columns, "winner": ["model_a", "model_a", "tie"] * 33 + ["tie"]})
    length = np.where(votes.model_a[:, None] == 0, [[2.0, 1.0]], [[1.0, 2.0]])
    votes = Votes(**{f: getattr(votes, f) for f in votes.__slots__} | {"features": {"n": length}})
    with pytest.raises(InputError, match="votes must determine the ratings"):
        rate_at_equal_style(votes, ["n"])
